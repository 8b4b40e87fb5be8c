package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"kubescribe/internal/store"
	"kubescribe/test/stack"
)

// local watches a real API server: what happens while it runs, while it is killed and while it is away is stored once.
func TestLocalWatchesACluster(t *testing.T) {
	kubeconfig := stack.SharedKubernetes(t)
	namespace := newNamespace(t, kubeconfig)
	dir := t.TempDir()
	stop := watchLocal(t, kubeconfig, dir)
	namespace.happen(20)
	awaitDocuments(t, dir, namespace.name, 20)
	namespace.happen(20)
	stop(os.Kill)
	namespace.happen(20)
	stop = watchLocal(t, kubeconfig, dir)
	awaitDocuments(t, dir, namespace.name, 60)
	stop(os.Interrupt)
	assert.EqualValues(t, 60, documentsOf(t, dir, namespace.name))
}

// watchLocal starts a watch and returns when it serves. What it returns ends it with a signal; an interrupt must end it with 0.
func watchLocal(t *testing.T, kubeconfig, dir string) (stop func(os.Signal)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	cmd := exec.CommandContext(ctx, "kubescribe", "local", "--kubeconfig", kubeconfig, "--data-dir", dir, "-o", "json", "--listen", "127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(stderr)
	for line := ""; err == nil && !serving(line); {
		line, err = lines.ReadString('\n')
	}
	require.NoError(t, err)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, lines)
	}()
	t.Cleanup(cancel)
	return func(s os.Signal) {
		t.Helper()
		require.NoError(t, cmd.Process.Signal(s))
		<-drained
		if err := cmd.Wait(); s != os.Kill {
			require.NoError(t, err)
		}
	}
}

func serving(line string) bool { return len(line) > 0 && searchAt.MatchString(line) }

type testNamespace struct {
	t    *testing.T
	c    *kubernetes.Clientset
	name string
	n    int
}

func newNamespace(t *testing.T, kubeconfig string) *testNamespace {
	t.Helper()
	rc, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	require.NoError(t, err)
	rc.QPS = -1
	c, err := kubernetes.NewForConfig(rc)
	require.NoError(t, err)
	n := &testNamespace{t: t, c: c, name: "t" + uuid.NewString()}
	_, err = c.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.name}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = c.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), n.name, metav1.DeleteOptions{})
	})
	return n
}

// happen creates Events.
func (n *testNamespace) happen(count int) {
	n.t.Helper()
	for range count {
		n.n++
		_, err := n.c.CoreV1().Events(n.name).Create(n.t.Context(), &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Name: fmt.Sprintf("e.%d", n.n)},
			InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: n.name, Name: "p"},
			Reason:         "Happened", Type: corev1.EventTypeNormal, LastTimestamp: metav1.Now(),
		}, metav1.CreateOptions{})
		require.NoError(n.t, err)
	}
}

// documentsOf counts the documents of a namespace in the store, beside the process that writes it.
func documentsOf(t *testing.T, dir, namespace string) int64 {
	t.Helper()
	st, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "documents.sqlite"))
	require.NoError(t, err)
	defer st.Close()
	n, err := st.Count(t.Context(), store.Query{Filters: []store.Filter{{Field: "namespace", Values: []string{namespace}}, {Field: "reason", Values: []string{"Happened"}}}})
	require.NoError(t, err)
	return n
}

func awaitDocuments(t *testing.T, dir, namespace string, want int64) {
	t.Helper()
	require.Eventually(t, func() bool { return documentsOf(t, dir, namespace) >= want }, 90*time.Second, 100*time.Millisecond)
}
