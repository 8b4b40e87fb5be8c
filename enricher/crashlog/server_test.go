package crashlog

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// asked is one request for a log.
type asked struct {
	pod, container    string
	previous          bool
	lines             string
	timestamps, limit string
}

// apiServer answers requests for logs.
type apiServer struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request, q asked)

	mu       sync.Mutex
	requests []asked
}

func newAPIServer(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, q asked)) *apiServer {
	s := &apiServer{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		part, query := strings.Split(r.URL.Path, "/"), r.URL.Query()
		q := asked{
			pod: part[6], container: query.Get("container"), previous: query.Get("previous") == "true",
			lines: query.Get("tailLines"), timestamps: query.Get("timestamps"), limit: query.Get("limitBytes"),
		}
		s.mu.Lock()
		s.requests = append(s.requests, q)
		s.mu.Unlock()
		s.answer(w, r, q)
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func (s *apiServer) seen() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]asked(nil), s.requests...)
}

// says answers with a log line that was written at a time.
func says(at time.Time, line string) func(http.ResponseWriter, *http.Request, asked) {
	return func(w http.ResponseWriter, _ *http.Request, _ asked) {
		fmt.Fprintf(w, "%s %s\n", at.Format(time.RFC3339Nano), line)
	}
}

// refuse answers as an API server refuses.
func refuse(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
	})
}

// rig is a collector with an API server and a clock.
type rig struct {
	*Collector
	server  *apiServer
	log     *lockedBuffer
	metrics *prometheus.Registry
	clockMu sync.Mutex
	clock   time.Time
}

type lockedBuffer struct {
	mu sync.Mutex
	strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.String()
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newRig(t *testing.T, answer func(http.ResponseWriter, *http.Request, asked), change ...func(*Config, *Options)) *rig {
	t.Helper()
	r := &rig{server: newAPIServer(t, answer), log: &lockedBuffer{}, metrics: prometheus.NewRegistry(), clock: epoch}
	cfg := Default()
	cfg.Wait = 5 * time.Second // a busy machine is not what most tests are about
	o := Options{Log: slog.New(slog.NewTextHandler(r.log, nil)), Metrics: r.metrics, Now: r.now}
	for _, c := range change {
		c(&cfg, &o)
	}
	require.NoError(t, cfg.Validate())
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	var err error
	r.Collector, err = New(ctx, cfg, &rest.Config{Host: r.server.URL}, o)
	require.NoError(t, err)
	r.Own(func(string, string) bool { return true })
	return r
}

func (r *rig) now() time.Time {
	r.clockMu.Lock()
	defer r.clockMu.Unlock()
	return r.clock
}

func (r *rig) pass(d time.Duration) {
	r.clockMu.Lock()
	defer r.clockMu.Unlock()
	r.clock = r.clock.Add(d)
}

// get asks for one log.
func (r *rig) get(t *testing.T, w Want) Log {
	t.Helper()
	logs := r.Get(t.Context(), []Want{w})
	require.Len(t, logs, 1)
	return logs[0]
}

// want is the log of instance n of the container main of a pod.
func (r *rig) want(pod string, n int) Want {
	w := Want{Namespace: "shop", Pod: pod, PodUID: "uid-" + pod, Container: "main", Seen: r.now()}
	if n > 0 {
		w.ContainerID = id(pod, n)
	}
	return w
}

func id(pod string, n int) string { return fmt.Sprintf("containerd://%s-%d", pod, n) }

// status builds the states of a pod's container.
type status struct{ s corev1.ContainerStatus }

func (s *status) runs(pod string, n int) *status {
	s.s.ContainerID, s.s.RestartCount = id(pod, n), int32(n-1)
	if s.s.State.Terminated != nil {
		s.s.LastTerminationState = s.s.State
	}
	s.s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	return s
}

func (s *status) ends(at time.Time, code int32) *status {
	s.s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ContainerID: s.s.ContainerID, ExitCode: code, FinishedAt: metav1.NewTime(at.Truncate(time.Second)),
	}}
	return s
}

func (s *status) waits() *status {
	if s.s.State.Terminated != nil {
		s.s.LastTerminationState = s.s.State
	}
	s.s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	return s
}

// podOf is a pod of a ReplicaSet with one container.
func podOf(name string, s *status) *corev1.Pod {
	yes := true
	s.s.Name = "main"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID("uid-" + name),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "rs", Controller: &yes}},
		},
		Spec:   corev1.PodSpec{NodeName: "node-1", RestartPolicy: corev1.RestartPolicyAlways},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{s.s}},
	}
}
