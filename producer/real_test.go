package producer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
	"kubescribe/test/stack"
)

// plane is a real control plane, and what etcd says about its Events.
type plane struct {
	t         *testing.T
	k         *stack.Kubernetes
	config    *rest.Config
	client    kubernetes.Interface
	namespace string

	mu       sync.Mutex
	all      []string // every revision, as uid/resourceVersion, that is no deletion
	progress int64
}

func newPlane(t *testing.T) *plane {
	stack.Need(t, stack.PartKubernetes)
	k, err := stack.StartKubernetes(t.Context(), t.TempDir(), stack.WithNodes(1))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, k.Stop()) })
	p := &plane{t: t, k: k, namespace: "default"}
	p.config, err = k.Config()
	require.NoError(t, err)
	p.client, err = kubernetes.NewForConfig(p.config)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := stack.WatchEvents(ctx, k.EtcdEndpoint, 0, nil, func(e stack.EventRevision) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			if !e.Deleted {
				p.all = append(p.all, e.UID+"/"+e.ResourceVersion())
			}
			return nil
		}, func(revision int64) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.progress = revision
			return nil
		})
		if ctx.Err() == nil {
			t.Errorf("the reference ended: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

func (p *plane) put(name string) {
	p.t.Helper()
	events := p.client.CoreV1().Events(p.namespace)
	ev, err := events.Get(p.t.Context(), name, metav1.GetOptions{})
	if err == nil {
		ev.Count++
		ev.LastTimestamp = metav1.Now()
		_, err = events.Update(p.t.Context(), ev, metav1.UpdateOptions{})
	} else {
		_, err = events.Create(p.t.Context(), &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Name: name, Namespace: p.namespace},
			InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: p.namespace, Name: "pod-" + name},
			Reason:         "BackOff", Message: "Back-off restarting failed container", Type: corev1.EventTypeWarning, Count: 1,
			FirstTimestamp: metav1.Now(), LastTimestamp: metav1.Now(), Source: corev1.EventSource{Component: "kubelet", Host: "node-1"},
		}, metav1.CreateOptions{})
	}
	require.NoError(p.t, err)
}

func (p *plane) puts(format string, n int) {
	p.t.Helper()
	for i := range n {
		p.put(fmt.Sprintf(format, i))
	}
}

// revisions are all that etcd has had up to now.
func (p *plane) revisions() []string {
	p.t.Helper()
	now, err := p.client.CoreV1().Events("").List(p.t.Context(), metav1.ListOptions{Limit: 1})
	require.NoError(p.t, err)
	rv, err := parseRV(now.ResourceVersion)
	require.NoError(p.t, err)
	var all []string
	eventually(p.t, "the reference has read etcd", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		all = slices.Clone(p.all)
		return p.progress >= int64(rv)
	})
	slices.Sort(all)
	return all
}

// compact writes something that is no Event, so that there is a new revision, and makes etcd forget all before it.
func (p *plane) compact() {
	p.t.Helper()
	maps := p.client.CoreV1().ConfigMaps("default")
	_, err := maps.Create(p.t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "elsewhere-"}}, metav1.CreateOptions{})
	require.NoError(p.t, err)
	_, err = stack.CompactEtcd(p.t.Context(), p.k.EtcdEndpoint)
	require.NoError(p.t, err)
}

func (p *plane) rig(t *testing.T, k stream.Config) *rig {
	return newRig(t, k, p.config)
}

// caughtUp waits until the topic has everything that etcd has had, and returns what is there.
func (r *rig) caughtUp(p *plane, less int) (got []string, gaps []*schemas.Gap) {
	r.t.Helper()
	want := p.revisions()
	eventually(r.t, "the topic has what etcd has", func() bool {
		got, gaps = r.found()
		return len(got)+less >= len(want)
	})
	return got, gaps
}

// TestOnTheRealStack runs against a real Kafka and a real control plane. Each subtest has a cluster name of its own, but all share
// the cluster's UID, and so the transactional id: they run one after the other.
func TestOnTheRealStack(t *testing.T) {
	t.Parallel()
	k := stream.Default()
	k.Brokers = []string{stack.SharedKafka(t)}
	p := newPlane(t)

	t.Run("start, watch, resume", func(t *testing.T) {
		p.t = t
		p.puts("old-%03d", 600)
		r := p.rig(t, k)
		stop := r.start()
		r.caughtUp(p, 0)
		p.puts("old-%03d", 50)
		require.NoError(t, p.client.CoreV1().Events("default").Delete(t.Context(), "old-100", metav1.DeleteOptions{}))
		r.caughtUp(p, 0)
		require.NoError(t, stop())
		p.puts("away-%d", 20)
		p.puts("away-%d", 10)
		stop = r.start()
		got, gaps := r.caughtUp(p, 0)
		require.NoError(t, stop())
		require.Empty(t, gaps)
		require.GreaterOrEqual(t, len(p.revisions()), 680)
		require.Equal(t, p.revisions(), got)
	})

	t.Run("the API server dies", func(t *testing.T) {
		p.t = t
		r := p.rig(t, k)
		r.cfg.From = FromNow
		before := p.revisions()
		stop := r.start()
		eventually(t, "ready", r.health.ready)
		p.puts("before-%d", 20)
		require.NoError(t, p.k.Kill("kube-apiserver"))
		eventually(t, "not ready", func() bool { return !r.health.ready() })
		require.NoError(t, p.k.Restart(t.Context(), "kube-apiserver"))
		p.puts("before-%d", 20)
		got, gaps := r.caughtUp(p, len(before))
		require.NoError(t, stop())
		require.Empty(t, gaps)
		require.Equal(t, since(p.revisions(), before), got)
	})

	t.Run("etcd is compacted during an outage", func(t *testing.T) {
		p.t = t
		r := p.rig(t, k)
		r.cfg.From = FromNow
		r.cfg.ListBufferBytes = 20 << 10
		before := p.revisions()
		stop := r.start()
		eventually(t, "ready", r.health.ready)
		p.puts("c-%d", 20)
		r.caughtUp(p, len(before))
		require.NoError(t, stop())
		p.puts("c-%d", 20)
		p.puts("c-%d", 20) // supersedes the 20 before
		p.compact()
		stop = r.start()
		r.caughtUp(p, len(before)+20)
		p.put("live")
		got, gaps := r.caughtUp(p, len(before)+20)
		require.NoError(t, stop())
		require.Len(t, gaps, 1)
		require.Equal(t, schemas.GapExpired, gaps[0].Cause)
		require.EqualValues(t, 20, gaps[0].ListedNewer)
		require.Len(t, got, 41)
		require.Len(t, slices.Compact(slices.Clone(got)), 41, "none is there twice")
	})

	t.Run("silence", func(t *testing.T) {
		p.t = t
		r := p.rig(t, k)
		r.cfg.Silence = time.Second
		r.cfg.From = FromNow
		before := p.revisions()
		stop := r.start()
		eventually(t, "ready", r.health.ready)
		// The server says yes to a watch before etcd has begun it: only a silence that was survived proves it open.
		began := r.rv()
		eventually(t, "the first silence", func() bool { return r.rv() > began })
		for range 6 {
			p.compact()
			list, err := p.client.CoreV1().Events("").List(t.Context(), metav1.ListOptions{Limit: 1})
			require.NoError(t, err)
			rv, err := parseRV(list.ResourceVersion)
			require.NoError(t, err)
			eventually(t, "the checkpoint follows", func() bool { return r.rv() >= rv })
		}
		p.puts("after-%d", 3)
		got, gaps := r.caughtUp(p, len(before))
		require.NoError(t, stop())
		require.Empty(t, gaps)
		require.Equal(t, since(p.revisions(), before), got)
	})

	t.Run("two that hold no Lease fence each other", func(t *testing.T) {
		p.t = t
		r := p.rig(t, k)
		r.cfg.From = FromNow
		before := p.revisions()
		one, two := r.producer(), r.producer()
		one.pace = pacing{first: 300 * time.Millisecond, longest: 300 * time.Millisecond, refused: time.Second}
		two.pace = one.pace
		stopOne := r.run(one)
		eventually(t, "ready", r.health.ready)
		stopTwo := r.run(two)
		for i := range 10 {
			p.puts(fmt.Sprintf("f-%d-%%d", i), 20)
		}
		got, gaps := r.caughtUp(p, len(before))
		require.NoError(t, stopOne())
		require.NoError(t, stopTwo())
		require.Empty(t, gaps)
		require.Equal(t, since(p.revisions(), before), got)
		require.Contains(t, strings.Join(r.health.all, "\n"), "fenced", "they met")
	})

	t.Run("a Lease passes on", func(t *testing.T) {
		p.t = t
		r := p.rig(t, k)
		r.cfg.From = FromNow
		r.cfg.Lease = Default().Lease
		before := p.revisions()
		stopOne := r.start()
		eventually(t, "the first leads", func() bool { return r.checkpoint("events") != nil })
		stopTwo := r.start()
		p.puts("l-%d", 10)
		r.caughtUp(p, len(before))
		released := time.Now()
		require.NoError(t, stopOne())
		p.puts("l-%d", 10)
		got, gaps := r.caughtUp(p, len(before))
		require.Less(t, time.Since(released), 15*time.Second)
		require.NoError(t, stopTwo())
		require.Empty(t, gaps)
		require.Equal(t, since(p.revisions(), before), got)
	})

	t.Run("missing permissions", func(t *testing.T) {
		p.t = t
		rc := rest.CopyConfig(p.config)
		rc.Impersonate.UserName = "nobody"
		r := p.rig(t, k)
		r.cfg.Lease.Enabled = true
		err := Run(t.Context(), r.cfg, r.cluster, k, r.deps(), rc)
		var access *AccessError
		require.ErrorAs(t, err, &access)
		require.Len(t, access.Missing, 6)
		require.ErrorContains(t, err, "get namespaces kube-system, nor list events in all namespaces, nor watch events in all namespaces, nor get leases in the namespace default")
	})
}

// since is what all has and before, which is sorted, has not.
func since(all, before []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(id string) bool { _, ok := slices.BinarySearch(before, id); return ok })
}
