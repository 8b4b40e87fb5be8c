package producer

import (
	"bufio"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// podServer is an API server with pods: beside the events of apiServer, a store with etcd's revisions and a watch cache that can forget.
type podServer struct {
	*apiServer
	front *httptest.Server

	mu      sync.Mutex
	changed chan struct{}
	closed  chan struct{}
	rev     uint64
	oldest  uint64 // what is older than that, a watch can't resume
	log     []podChange
	queries []string // of lists and watches of pods and events; a list's comes after its answer was made
}

type podChange struct {
	rev  uint64
	kind string
	pod  corev1.Pod
}

func newPodServer(t testing.TB) *podServer {
	s := &podServer{apiServer: newAPIServer(t), rev: 1000, changed: make(chan struct{}), closed: make(chan struct{})}
	s.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/pods") || strings.HasSuffix(r.URL.Path, "/events") {
			note := func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.queries = append(s.queries, r.URL.Path+"?"+r.URL.RawQuery)
			}
			if r.URL.Query().Get("watch") == "" {
				defer note() // a list counts when it was answered
			} else {
				note()
			}
		}
		switch {
		case !strings.HasSuffix(r.URL.Path, "/pods"):
			s.apiServer.Config.Handler.ServeHTTP(w, r)
		case r.URL.Query().Get("watch") == "":
			s.listPods(w, r)
		default:
			s.watchPods(w, r)
		}
	}))
	t.Cleanup(func() { s.dropWatches(); s.front.CloseClientConnections(); s.front.Close() })
	return s
}

func (s *podServer) config() *rest.Config { return &rest.Config{Host: s.front.URL} }

// change notes revisions of pods, and gives them their numbers.
func (s *podServer) change(changes ...podChange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		s.rev++
		c.rev, c.pod.ResourceVersion = s.rev, strconv.FormatUint(s.rev, 10)
		s.log = append(s.log, c)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *podServer) dropWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.closed)
	s.closed = make(chan struct{})
}

// forget does what a restart does to the API server's watch cache.
func (s *podServer) forget() {
	s.mu.Lock()
	s.rev++
	s.oldest = s.rev
	s.mu.Unlock()
	s.dropWatches()
}

// restore takes the pods back to rev, as a backup of etcd does.
func (s *podServer) restorePods(rev uint64) {
	s.mu.Lock()
	s.log = slices.DeleteFunc(s.log, func(c podChange) bool { return c.rev > rev })
	s.rev = rev
	s.mu.Unlock()
	s.dropWatches()
}

func (s *podServer) podRevision() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rev
}

func (s *podServer) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.queries)
}

func (s *podServer) listPods(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := map[string]corev1.Pod{}
	for _, c := range s.log {
		if c.kind == "DELETED" {
			delete(now, c.pod.Name)
		} else {
			now[c.pod.Name] = c.pod
		}
	}
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	list := &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.FormatUint(s.rev, 10)}}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if name <= q.Get("continue") {
			continue
		}
		if limit > 0 && len(list.Items) == limit {
			list.Continue = list.Items[limit-1].Name
			break
		}
		list.Items = append(list.Items, now[name])
	}
	s.write(w, r, http.StatusOK, list)
}

func (s *podServer) watchPods(w http.ResponseWriter, r *http.Request) {
	rev, err := strconv.ParseUint(r.URL.Query().Get("resourceVersion"), 10, 64)
	if err != nil {
		s.t.Errorf("a watch without a resourceVersion: %v", err)
	}
	s.mu.Lock()
	old, closed := rev < s.oldest, s.closed
	s.mu.Unlock()
	if old {
		s.write(w, r, http.StatusGone, &gone.ErrStatus)
		return
	}
	info := negotiate(r)
	out := &frameWriter{w: w, encode: info}
	w.Header().Set("Content-Type", info.MediaType+streamParameter(info))
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		s.mu.Lock()
		changed := s.changed
		todo := slices.DeleteFunc(slices.Clone(s.log), func(c podChange) bool { return c.rev <= rev })
		s.mu.Unlock()
		for _, c := range todo {
			if err := out.send(c.kind, &c.pod); err != nil {
				return
			}
			rev = c.rev
		}
		select {
		case <-changed:
		case <-closed:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// podRevisions are the revisions of a recording of package container.
func podRevisions(t testing.TB, name string) (all []podChange) {
	t.Helper()
	f, err := os.Open(filepath.Join("container", "testdata", name+".ndjson"))
	require.NoError(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var l struct {
			Type   string
			Object corev1.Pod
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &l))
		all = append(all, podChange{kind: l.Type, pod: l.Object})
	}
	require.NotEmpty(t, all)
	return all
}
