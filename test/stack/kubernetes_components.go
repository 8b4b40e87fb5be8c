package stack

import (
	"fmt"
	"path/filepath"
	"slices"
)

// assemble fills in the addresses and the components' commands.
func (k *Kubernetes) assemble(ports map[string]int) error {
	cache, err := kubernetesBinaries().dir()
	if err != nil {
		return err
	}
	k.ports = ports
	k.Server = "https://" + loopback(ports["apiserver"])
	k.EtcdEndpoint = "http://" + loopback(ports["etcd"])
	k.Kubeconfig = k.path("admin.kubeconfig")
	keys := pki{k.path("pki")}
	tls := []string{"--tls-cert-file=" + keys.path("apiserver.crt"), "--tls-private-key-file=" + keys.path("apiserver.key")}
	k.components = nil
	add := func(name, healthz string, flags ...[]string) {
		argv := slices.Concat([]string{filepath.Join(cache, "bin", name)}, slices.Concat(flags...), k.flags[name])
		k.components = append(k.components, &component{
			process: process{name: name, dir: k.Dir, argv: argv, detached: k.detached}, healthz: healthz,
		})
	}
	add("etcd", k.EtcdEndpoint+"/health", k.etcdFlags())
	add("kube-apiserver", k.Server+"/readyz", k.apiserverFlags(keys), tls)
	add("kube-controller-manager", "https://"+loopback(ports["controller-manager"])+"/healthz", k.controllerManagerFlags(keys), tls)
	add("kube-scheduler", "https://"+loopback(ports["scheduler"])+"/readyz", k.schedulerFlags(), tls)
	add("kwok", "https://"+loopback(ports["kwok"])+"/healthz", k.kwokFlags(), tls)
	return nil
}

// writeFiles writes what the components read.
func (k *Kubernetes) writeFiles() error {
	keys := pki{k.path("pki")}
	if err := keys.create(); err != nil {
		return err
	}
	for _, identity := range []string{"admin", "controller-manager", "scheduler", "kwok"} {
		if err := keys.kubeconfig(k.path(identity+".kubeconfig"), identity, k.Server); err != nil {
			return err
		}
	}
	return writeKwok(k.Dir)
}

func (k *Kubernetes) etcdFlags() []string {
	peer := "http://" + loopback(k.ports["etcd-peer"])
	return []string{
		"--data-dir=" + k.path("etcd"), "--log-level=warn", "--quota-backend-bytes=2147483648",
		"--unsafe-no-fsync", // a killed process loses nothing by it, only a killed machine
		"--listen-client-urls=" + k.EtcdEndpoint, "--advertise-client-urls=" + k.EtcdEndpoint,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer,
	}
}

func (k *Kubernetes) apiserverFlags(keys pki) []string {
	return []string{
		"--etcd-servers=" + k.EtcdEndpoint,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", fmt.Sprint("--secure-port=", k.ports["apiserver"]),
		"--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
		"--authorization-mode=Node,RBAC", "--allow-privileged=true", "--client-ca-file=" + keys.path("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + keys.path("sa.pub"), "--service-account-signing-key-file=" + keys.path("sa.key"),
		"--kubelet-certificate-authority=" + keys.path("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--kubelet-client-certificate=" + keys.path("kubelet-client.crt"), "--kubelet-client-key=" + keys.path("kubelet-client.key"),
	}
}

func (k *Kubernetes) controllerManagerFlags(keys pki) []string {
	return []string{
		"--kubeconfig=" + k.path("controller-manager.kubeconfig"), "--authentication-skip-lookup", "--leader-elect=false",
		"--bind-address=127.0.0.1", fmt.Sprint("--secure-port=", k.ports["controller-manager"]),
		"--use-service-account-credentials=true", "--service-account-private-key-file=" + keys.path("sa.key"),
		"--root-ca-file=" + keys.path("ca.crt"), "--flex-volume-plugin-dir=" + k.path("flexvolume"),
		"--cluster-signing-cert-file=" + keys.path("ca.crt"), "--cluster-signing-key-file=" + keys.path("ca.key"),
		"--kube-api-qps=500", "--kube-api-burst=1000", // with the defaults a first Deployment takes twice as long
		"--node-monitor-period=2s", "--node-monitor-grace-period=10s", "--horizontal-pod-autoscaler-sync-period=5s",
	}
}

func (k *Kubernetes) schedulerFlags() []string {
	return []string{
		"--kubeconfig=" + k.path("scheduler.kubeconfig"), "--authentication-skip-lookup", "--leader-elect=false",
		"--bind-address=127.0.0.1", fmt.Sprint("--secure-port=", k.ports["scheduler"]),
		"--kube-api-qps=500", "--kube-api-burst=1000",
	}
}

func (k *Kubernetes) kwokFlags() []string {
	address := loopback(k.ports["kwok"])
	return []string{
		"--kubeconfig=" + k.path("kwok.kubeconfig"), "--config=" + k.path("kwok.yaml"), "--manage-nodes-with-label-selector=type=kwok",
		"--node-ip=127.0.0.1", fmt.Sprint("--node-port=", k.ports["kwok"]), "--server-address=" + address,
		"--node-lease-duration-seconds=8", "--cidr=10.244.0.0/16",
	}
}
