package stack

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// A pki is a control plane's certificates in <dir>/pki: one authority that signs everything, a key pair for the service
// accounts, and a certificate for each identity below. It is made once for each dir.
type pki struct{ dir string }

// identities maps the name of a certificate to its subject. What is in system:masters may do everything.
var identities = map[string]pkix.Name{
	"apiserver":          {CommonName: "kube-apiserver"},
	"kubelet-client":     {CommonName: "apiserver-kubelet-client", Organization: []string{"system:masters"}},
	"admin":              {CommonName: "kubescribe-test-admin", Organization: []string{"system:masters"}},
	"kwok":               {CommonName: "kwok", Organization: []string{"system:masters"}},
	"controller-manager": {CommonName: "system:kube-controller-manager"},
	"scheduler":          {CommonName: "system:kube-scheduler"},
}

const validFor = 10 * 365 * 24 * time.Hour

func (p pki) path(name string) string { return filepath.Join(p.dir, name) }

// create makes what the control plane needs unless an earlier start on the same dir has made it.
func (p pki) create() error {
	done := p.path(marker)
	if _, err := os.Stat(done); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	authorityKey, authority, err := p.issue("ca", pkix.Name{CommonName: "kubescribe-test-ca"}, nil, nil)
	if err != nil {
		return err
	}
	for name, subject := range identities {
		if _, _, err := p.issue(name, subject, authorityKey, authority); err != nil {
			return err
		}
	}
	serviceAccounts, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the service accounts' key: %w", err)
	}
	if err := p.writeKey("sa.key", serviceAccounts); err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(serviceAccounts.Public())
	if err != nil {
		return fmt.Errorf("encoding the service accounts' key: %w", err)
	}
	if err := p.writePEM("sa.pub", "PUBLIC KEY", public); err != nil {
		return err
	}
	return writeFile(done, nil, 0o644)
}

// issue writes name.key and name.crt: signed by the authority given, or by itself when there is none yet.
func (p pki) issue(name string, subject pkix.Name, signer crypto.Signer, authority *x509.Certificate) (crypto.Signer, *x509.Certificate, error) {
	fail := func(err error) (crypto.Signer, *x509.Certificate, error) {
		return nil, nil, fmt.Errorf("issuing the certificate %s: %w", name, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return fail(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: subject, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validFor),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)},
	}
	if authority == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
		template.ExtKeyUsage, template.DNSNames, template.IPAddresses = nil, nil, nil
		signer, authority = key, template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), signer)
	if err != nil {
		return fail(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fail(err)
	}
	if err := p.writePEM(name+".crt", "CERTIFICATE", der); err != nil {
		return fail(err)
	}
	return key, cert, p.writeKey(name+".key", key)
}

func (p pki) writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", file, err)
	}
	return p.writePEM(file, "PRIVATE KEY", der)
}

func (p pki) writePEM(file, kind string, der []byte) error {
	return writeFile(p.path(file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// kubeconfig writes a self-contained kubeconfig for one identity.
func (p pki) kubeconfig(path, identity, server string) error {
	var read [3][]byte
	for i, file := range []string{"ca.crt", identity + ".crt", identity + ".key"} {
		content, err := os.ReadFile(p.path(file))
		if err != nil {
			return fmt.Errorf("writing a kubeconfig: %w", err)
		}
		read[i] = content
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["stack"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: read[0]}
	config.AuthInfos[identity] = &clientcmdapi.AuthInfo{ClientCertificateData: read[1], ClientKeyData: read[2]}
	config.Contexts["stack"] = &clientcmdapi.Context{Cluster: "stack", AuthInfo: identity}
	config.CurrentContext = "stack"
	content, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encoding a kubeconfig: %w", err)
	}
	return writeFile(path, content, 0o600)
}
