package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kubescribe/test/stack"
)

func runCommand(t *testing.T, args ...string) (string, error) {
	var out bytes.Buffer
	c := command()
	c.SetArgs(args)
	c.SetOut(&out)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func TestUpStatusDown(t *testing.T) {
	stack.Need(t, stack.PartKafka, stack.PartKubernetes)
	dir := t.TempDir()
	t.Cleanup(func() {
		_, err := runCommand(t, "down", "--dir", dir)
		require.NoError(t, err)
	})
	up, err := runCommand(t, "up", "kafka", "kubernetes", "--dir", dir)
	require.NoError(t, err)
	require.Regexp(t, `(?m)\ASTACK_KAFKA=127\.0\.0\.1:\d+
STACK_KUBECONFIG=`+dir+`/kubernetes/admin\.kubeconfig
STACK_ETCD=http://127\.0\.0\.1:\d+
\z`, up)

	k, err := stack.OpenKubernetes(dir + "/kubernetes")
	require.NoError(t, err)
	broker, err := stack.OpenKafka(dir + "/kafka")
	require.NoError(t, err)
	require.NoError(t, k.Kill("kube-scheduler"))
	again, err := runCommand(t, "up", "kafka", "kubernetes", "--dir", dir)
	require.NoError(t, err)
	require.Equal(t, up, again)
	require.NotZero(t, k.PID("etcd"))
	same, err := stack.OpenKafka(dir + "/kafka")
	require.NoError(t, err)
	require.Equal(t, broker.PID, same.PID, "what runs is left alone")
	k, err = stack.OpenKubernetes(dir + "/kubernetes")
	require.NoError(t, err)
	require.NotZero(t, k.PID("kube-scheduler"), "what died is started again")

	asJSON, err := runCommand(t, "status", "--dir", dir, "-o", "json")
	require.NoError(t, err)
	var object map[string]string
	require.NoError(t, json.Unmarshal([]byte(asJSON), &object))
	require.Equal(t, broker.Bootstrap, object[stack.EnvKafka])

	_, err = runCommand(t, "down", "--dir", dir)
	require.NoError(t, err)
	status, err := runCommand(t, "status", "--dir", dir)
	require.NoError(t, err)
	require.Empty(t, status)
	for _, component := range stack.Components() {
		require.Zero(t, k.PID(component), component)
	}
}

func TestWrongArgumentsAreNamed(t *testing.T) {
	_, err := runCommand(t, "up", "zookeeper")
	require.ErrorContains(t, err, `"zookeeper"`)
	_, err = runCommand(t, "status", "-o", "xml")
	require.ErrorContains(t, err, `unknown output "xml"`)
	help, err := runCommand(t, "--help")
	require.NoError(t, err)
	for _, use := range []string{"prepare", "up", "status", "down"} {
		require.True(t, strings.Contains(help, "  "+use+" "), use)
	}
}
