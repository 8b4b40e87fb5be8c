package main

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kubescribe/internal/daemon"
)

// kubernetesConfig is the connection to the API server.
type kubernetesConfig struct {
	// Kubeconfig is a kubeconfig file. Empty: those that the variable KUBECONFIG names, else ~/.kube/config, else the
	// pod's own service account.
	Kubeconfig string `koanf:"kubeconfig"`
	// Context is the kubeconfig's context; empty for its current one.
	Context string `koanf:"context"`
}

// rest is the connection that the configuration names. It opens none.
func (c kubernetesConfig) rest() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.Kubeconfig
	rc, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: c.Context}).ClientConfig()
	if err != nil {
		if clientcmd.IsEmptyConfig(err) {
			return nil, &daemon.UsageError{Err: fmt.Errorf("no Kubernetes cluster is configured: name a kubeconfig with --kubeconfig or KUBECONFIG, or run in a pod")}
		}
		return nil, &daemon.UsageError{Err: fmt.Errorf("reading the kubeconfig: %w", err)}
	}
	return rc, nil
}
