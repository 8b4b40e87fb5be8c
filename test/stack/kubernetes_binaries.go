package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The versions that kubernetes/tools/go.mod pins; a test compares them.
const (
	KubernetesVersion = "v1.36.3"
	etcdVersion       = "v3.6.8"
	kwokVersion       = "v0.8.0"
)

var kubernetesPrograms = []struct{ name, pkg string }{
	{"etcd", "go.etcd.io/etcd/server/v3"},
	{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
	{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
	{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"},
	{"kwok", "sigs.k8s.io/kwok/cmd/kwok"},
	{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
}

func kubernetesBinaries() artifact {
	return artifact{
		name: "kubernetes-" + KubernetesVersion,
		key:  strings.Join([]string{"kubernetes", KubernetesVersion, "etcd", etcdVersion, "kwok", kwokVersion}, " "),
		make: buildKubernetes,
	}
}

// buildKubernetes builds the programs from the module in kubernetes/tools of the checkout that the working directory is in.
func buildKubernetes(ctx context.Context, dir string) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "kubescribe").Output()
	if err != nil {
		return fmt.Errorf("finding kubescribe's module (the Kubernetes binaries are built from within a checkout): %w", err)
	}
	tools := filepath.Join(string(bytes.TrimSpace(out)), "test", "stack", "kubernetes", "tools")
	if _, err := os.Stat(filepath.Join(tools, "go.mod")); err != nil {
		return errors.Join(errors.New("finding the module of the Kubernetes binaries"), err)
	}
	minor, _, _ := strings.Cut(strings.TrimPrefix(KubernetesVersion, "v1."), ".")
	const version = "k8s.io/component-base/version"
	flags := strings.Join([]string{
		"-s -w",
		"-X " + version + ".gitVersion=" + KubernetesVersion,
		"-X " + version + ".gitMajor=1",
		"-X " + version + ".gitMinor=" + minor,
		"-X " + version + ".gitTreeState=clean",
		"-X sigs.k8s.io/kwok/pkg/consts.Version=" + kwokVersion,
	}, " ")
	env := []string{"CGO_ENABLED=0", "GOFLAGS=-mod=readonly -trimpath -buildvcs=false", "GOWORK=off"}
	for i, program := range kubernetesPrograms {
		done := reportStep("building %s (%d of %d, minutes when nothing is compiled yet)", program.name, i+1, len(kubernetesPrograms))
		err := runTool(ctx, tools, env, "go", "build", "-ldflags", flags, "-o", filepath.Join(dir, "bin", program.name), program.pkg)
		if err != nil {
			return fmt.Errorf("building %s: %w", program.name, err)
		}
		done()
	}
	return nil
}
