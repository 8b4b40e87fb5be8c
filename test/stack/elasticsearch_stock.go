package stack

import (
	"archive/zip"
	"context"
	"crypto/sha1" //nolint:gosec // a format of the users file
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// StockElasticsearch is the server as Elastic builds it for its own tests, with security and TLS, users and roles from files, and a
// trial licence. It lacks what the other node's jars lack too (ILM, analysis modules), and cannot make API keys for that reason. As root
// it runs under another user, because it refuses to be root.
type StockElasticsearch struct {
	URL string // https://127.0.0.1:port
	Dir string // absolute; config, data and log/stock.log
	// CAFile signed the server's certificate and the one of ClientCertFile and ClientKeyFile, whose subject is CN=kubescribe-indexer.
	CAFile, ClientCertFile, ClientKeyFile string

	server process
}

// StockUser is a user with one role.
type StockUser struct{ Name, Password, Role string }

// ServiceToken is a bearer token of the service account elastic/fleet-server, whose secret is the password given to
// StartStockElasticsearch as the one of the user of that name.
func ServiceToken(secret string) string {
	return base64.StdEncoding.EncodeToString(append([]byte{0, 1, 0, 1}, "elastic/fleet-server/test:"+secret...))
}

const serviceAccount = "elastic/fleet-server"

// StartStockElasticsearch starts a server in a folder of its own. roles is its roles.yml; the client certificate gets the role
// certificateRole. Stop removes the folder.
func StartStockElasticsearch(ctx context.Context, roles, certificateRole string, users ...StockUser) (_ *StockElasticsearch, err error) {
	home, err := stockServer().ensure(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kubescribe-stock-")
	if err != nil {
		return nil, err
	}
	e := &StockElasticsearch{Dir: dir, server: process{name: "stock", dir: dir}}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Stop())
		}
	}()
	// Not from the cache: the other user may not look into root's.
	if err := os.CopyFS(filepath.Join(dir, "home"), os.DirFS(filepath.Join(home, "elasticsearch-"+ElasticsearchVersion))); err != nil {
		return nil, fmt.Errorf("copying the server: %w", err)
	}
	if err := e.certificates(); err != nil {
		return nil, err
	}
	return e, settle(dir, elasticsearchPorts, func(ports map[string]int) error { return e.start(ctx, ports, roles, certificateRole, users) })
}

// Stop shuts the server down and removes its folder.
func (e *StockElasticsearch) Stop() error {
	return errors.Join(e.server.stop(20*time.Second), os.RemoveAll(e.Dir))
}

func stockServer() artifact {
	return artifact{name: "elasticsearch-stock-" + ElasticsearchVersion, key: ElasticsearchVersion, make: func(ctx context.Context, tmp string) error {
		defer reportStep("fetching the stock Elasticsearch %s", ElasticsearchVersion)()
		if err := runTool(ctx, tmp, nil, "mvn", "-B", "-q", "-ntp", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy",
			"-Dartifact=org.elasticsearch.distribution.integ-test-zip:elasticsearch:"+ElasticsearchVersion+":zip", "-DoutputDirectory="+tmp); err != nil {
			return err
		}
		path := filepath.Join(tmp, "elasticsearch-"+ElasticsearchVersion+".zip")
		z, err := zip.OpenReader(path)
		if err != nil {
			return fmt.Errorf("unpacking %s: %w", path, err)
		}
		return errors.Join(os.CopyFS(tmp, z), z.Close(), os.Remove(path))
	}}
}

// certificates makes an authority and what it signs.
func (e *StockElasticsearch) certificates() error {
	p := pki{dir: filepath.Join(e.Dir, "pki")}
	key, authority, err := p.issue("ca", pkix.Name{CommonName: "kubescribe-test-ca"}, nil, nil)
	if err != nil {
		return err
	}
	_, _, serverErr := p.issue("server", pkix.Name{CommonName: "elasticsearch"}, key, authority)
	_, _, clientErr := p.issue("client", pkix.Name{CommonName: "kubescribe-indexer"}, key, authority)
	e.CAFile, e.ClientCertFile, e.ClientKeyFile = p.path("ca.crt"), p.path("client.crt"), p.path("client.key")
	return errors.Join(serverErr, clientErr)
}

func (e *StockElasticsearch) start(ctx context.Context, ports map[string]int, roles, certificateRole string, users []StockUser) error {
	java, err := findJava()
	if err != nil {
		return err
	}
	binary, err := filepath.EvalSymlinks(java.path)
	if err != nil {
		return err
	}
	if err := e.configure(ports, roles, certificateRole, users); err != nil {
		return err
	}
	e.server.argv = []string{"/bin/bash", filepath.Join(e.Dir, "home", "bin", "elasticsearch")}
	if os.Getuid() == 0 {
		const nobody = "65534"
		e.server.argv = append([]string{"setpriv", "--reuid=" + nobody, "--regid=" + nobody, "--clear-groups", "--pdeathsig=KILL"}, e.server.argv...)
		if err := runTool(ctx, e.Dir, nil, "chown", "-R", nobody, e.Dir); err != nil {
			return err
		}
	}
	e.server.env = []string{"ES_JAVA_HOME=" + filepath.Dir(filepath.Dir(binary)), "ES_JAVA_OPTS=-Xms512m -Xmx512m", "ES_PATH_CONF=" + e.path("config")}
	e.URL = "https://" + loopback(ports["http"])
	if err := e.server.start(); err != nil {
		return err
	}
	ca, err := os.ReadFile(e.CAFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	return e.server.await(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL+"/_cluster/health", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized { // nobody has said who they are: it serves
			return fmt.Errorf("asking %s: %s", e.URL, resp.Status)
		}
		return nil
	})
}

func (e *StockElasticsearch) path(parts ...string) string {
	return filepath.Join(append([]string{e.Dir}, parts...)...)
}

// configure writes the folder config.
func (e *StockElasticsearch) configure(ports map[string]int, roles, certificateRole string, users []StockUser) error {
	var chain []byte
	for _, name := range []string{"server.crt", "ca.crt"} {
		pem, err := os.ReadFile(e.path("pki", name))
		if err != nil {
			return err
		}
		chain = append(chain, pem...)
	}
	key, err := os.ReadFile(e.path("pki", "server.key"))
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(e.CAFile)
	if err != nil {
		return err
	}
	var passwords, memberships, tokens strings.Builder
	for _, u := range users {
		sum := sha1.Sum([]byte(u.Password)) //nolint:gosec // a format of the users file
		hash := "{SHA}" + base64.StdEncoding.EncodeToString(sum[:])
		if u.Name == serviceAccount {
			fmt.Fprintf(&tokens, "%s/test:%s\n", u.Name, hash)
			continue
		}
		fmt.Fprintf(&passwords, "%s:%s\n", u.Name, hash)
		fmt.Fprintf(&memberships, "%s:%s\n", u.Role, u.Name)
	}
	log4j, err := os.ReadFile(e.path("home", "config", "log4j2.properties"))
	if err != nil {
		return err
	}
	jvm, err := os.ReadFile(e.path("home", "config", "jvm.options"))
	if err != nil {
		return err
	}
	var errs []error
	for name, content := range map[string]string{
		"elasticsearch.yml": fmt.Sprintf(`cluster.name: kubescribe-stock
discovery.type: single-node
network.host: 127.0.0.1
http.port: %d
transport.port: %d
path.data: %s
path.logs: %s
cluster.routing.allocation.disk.threshold_enabled: false
xpack.license.self_generated.type: trial
xpack.security.enabled: true
xpack.security.http.ssl:
  enabled: true
  key: server.key
  certificate: server.crt
  certificate_authorities: [ca.crt]
  client_authentication: optional
xpack.security.authc.realms:
  file.file1.order: 0
  pki.pki1: {order: 1, certificate_authorities: [ca.crt]}
`, ports["http"], ports["transport"], e.path("data"), e.path("logs")),
		"server.key": string(key), "server.crt": string(chain), "ca.crt": string(ca), "roles.yml": roles,
		"users": passwords.String(), "users_roles": memberships.String(), "service_tokens": tokens.String(),
		"role_mapping.yml": fmt.Sprintf("%s: ['CN=kubescribe-indexer']\n", certificateRole), "log4j2.properties": string(log4j), "jvm.options": string(jvm),
	} {
		errs = append(errs, writeFile(e.path("config", name), []byte(content), 0o600))
	}
	return errors.Join(append(errs, os.Chmod(e.Dir, 0o755))...)
}
