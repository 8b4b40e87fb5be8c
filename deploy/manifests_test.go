// Package deploy holds how kubescribe is installed; its tests check the files.
package deploy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

// TestManifestsAreWhatTheySay decodes each object strictly: an unknown or doubled field fails.
func TestManifestsAreWhatTheySay(t *testing.T) {
	kinds := map[string]int{}
	for _, o := range manifests(t) {
		kinds[o.GetObjectKind().GroupVersionKind().Kind]++
	}
	require.Equal(t, map[string]int{
		"Namespace": 1, "ServiceAccount": 2, "ClusterRole": 2, "ClusterRoleBinding": 2, "Role": 1, "RoleBinding": 1,
		"ConfigMap": 1, "Job": 1, "Deployment": 5, "Service": 1,
	}, kinds)
}

// TestNobodyReadsSecrets: a role that could read Secrets, by name or by *, fails.
func TestNobodyReadsSecrets(t *testing.T) {
	checked := 0
	for _, o := range manifests(t) {
		var rules []rbacv1.PolicyRule
		switch r := o.(type) {
		case *rbacv1.ClusterRole:
			rules = r.Rules
		case *rbacv1.Role:
			rules = r.Rules
		}
		for _, r := range rules {
			checked++
			require.NotContains(t, r.Resources, "secrets")
			require.NotContains(t, strings.Join(append(append(r.APIGroups, r.Resources...), r.Verbs...), " "), "*")
		}
	}
	require.Positive(t, checked)
}

// TestConfigurationLoads asks the binary itself about the configuration in the ConfigMap, for each service.
func TestConfigurationLoads(t *testing.T) {
	binary := build(t)
	file := filepath.Join(t.TempDir(), "kubescribe.yaml")
	for _, o := range manifests(t) {
		if m, ok := o.(*corev1.ConfigMap); ok {
			require.NoError(t, os.WriteFile(file, []byte(m.Data["kubescribe.yaml"]), 0o600))
		}
	}
	for _, service := range []string{"producer", "enricher", "indexer", "alerter", "explorer"} {
		out, err := exec.Command(binary, service, "--config", file, "--check-config").CombinedOutput()
		require.NoError(t, err, "%s: %s", service, out)
	}
	require.NoError(t, os.WriteFile(file, []byte("cluster: demo\nkafca: {}\n"), 0o600))
	require.Error(t, exec.Command(binary, "producer", "--config", file, "--check-config").Run(), "a check that can't fail proves nothing")
}

func manifests(t *testing.T) []runtime.Object {
	t.Helper()
	files, err := filepath.Glob("kubernetes/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	var all []runtime.Object
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		documents := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(b)))
		for {
			buf := make([]byte, len(b))
			n, err := documents.Read(buf)
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, file)
			o, _, err := decoder.Decode(buf[:n], nil, nil)
			require.NoError(t, err, "%s: %s", file, buf[:n])
			all = append(all, o)
		}
	}
	return all
}
