package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"kubescribe/test/stack"
)

// The command as the end-to-end tests run it: what it wrote is what the API server knows, revision for revision.
func TestTheCommandWritesEveryRevision(t *testing.T) {
	stack.Need(t, stack.PartKubernetes)
	k, err := stack.StartKubernetes(t.Context(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, k.Stop()) })
	config, err := k.Config()
	require.NoError(t, err)
	api, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	bin := filepath.Join(t.TempDir(), "etcdwatch")
	out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput()
	require.NoError(t, err, string(out))

	watch := exec.Command(bin, "-endpoint", k.EtcdEndpoint)
	stdout, err := watch.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, watch.Start())
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan(), "the first line")

	want := map[string]string{} // uid/resourceVersion → type
	for i := range 50 {
		event, err := api.CoreV1().Events("default").Create(t.Context(), &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Name: fmt.Sprint("e", i)},
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "p"},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		want[string(event.UID)+"/"+event.ResourceVersion] = "put"
		event.Count++
		event, err = api.CoreV1().Events("default").Update(t.Context(), event, metav1.UpdateOptions{})
		require.NoError(t, err)
		want[string(event.UID)+"/"+event.ResourceVersion] = "put"
	}
	require.NoError(t, api.CoreV1().Events("default").Delete(t.Context(), "e0", metav1.DeleteOptions{}))
	require.NoError(t, watch.Process.Signal(syscall.SIGTERM))

	var last line
	deleted := 0
	for {
		require.NoError(t, json.Unmarshal(lines.Bytes(), &last))
		_, err := strconv.ParseInt(last.ResourceVersion, 10, 64)
		require.NoError(t, err)
		if last.Type == "put" {
			delete(want, last.UID+"/"+last.ResourceVersion)
		}
		if last.Type == "delete" && last.Name == "e0" {
			require.NotEmpty(t, last.UID)
			deleted++
		}
		if !lines.Scan() {
			break
		}
	}
	require.NoError(t, watch.Wait())
	require.Equal(t, "end", last.Type)
	require.Empty(t, want, "revisions that were not written")
	require.Equal(t, 1, deleted)

	_, err = stack.CompactEtcd(t.Context(), k.EtcdEndpoint)
	require.NoError(t, err)
	late := exec.Command(bin, "-endpoint", k.EtcdEndpoint, "-from", "2")
	var complaint bytes.Buffer
	late.Stderr = &complaint
	timer := time.AfterFunc(30*time.Second, func() { _ = late.Process.Kill() })
	defer timer.Stop()
	require.Error(t, late.Run())
	require.Equal(t, exitCompacted, late.ProcessState.ExitCode(), complaint.String())
	require.Contains(t, complaint.String(), "etcd was compacted")
}
