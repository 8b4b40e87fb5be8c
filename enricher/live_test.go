package enricher

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	discoveryfake "k8s.io/client-go/discovery/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// fakeAPI is an API server in memory, and a Live that asks it.
type fakeAPI struct {
	*Live
	tb       testing.TB
	client   *metadatafake.FakeMetadataClient
	disc     *discoveryfake.FakeDiscovery
	log      *lockedBuffer
	registry *prometheus.Registry
	clock    atomic.Int64 // nanoseconds to add to the wall clock
}

var plurals = map[string]schema.GroupVersionResource{
	"Pod": {Version: "v1", Resource: "pods"}, "Node": {Version: "v1", Resource: "nodes"}, "Secret": {Version: "v1", Resource: "secrets"},
	"ReplicaSet": {Group: "apps", Version: "v1", Resource: "replicasets"}, "Deployment": {Group: "apps", Version: "v1", Resource: "deployments"},
	"Lease":   {Group: "coordination.k8s.io", Version: "v1", Resource: "leases"},
	"Rollout": {Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"},
}

// newFakeAPI serves every kind of plurals but Rollout. change may change the configuration.
func newFakeAPI(tb testing.TB, change ...func(*Config)) *fakeAPI {
	tb.Helper()
	scheme := runtime.NewScheme()
	require.NoError(tb, metav1.AddMetaToScheme(scheme))
	f := &fakeAPI{
		tb: tb, client: metadatafake.NewSimpleMetadataClient(scheme), log: &lockedBuffer{}, registry: prometheus.NewRegistry(),
		disc: &discoveryfake.FakeDiscovery{Fake: &clienttesting.Fake{}},
	}
	f.serve("v1", "Pod", "Secret")
	f.serve("v1", "Node")
	f.serve("apps/v1", "ReplicaSet", "Deployment")
	f.serve("coordination.k8s.io/v1", "Lease")
	cfg := Default()
	cfg.SyncWait = 500 * time.Millisecond
	for _, c := range change {
		c(&cfg)
	}
	require.NoError(tb, cfg.Validate())
	f.Live = newLive(tb.Context(), cfg, sources{meta: f.client}, f.disc, stream.Deps{
		Log: slog.New(slog.NewTextHandler(f.log, nil)), Metrics: f.registry,
		Now: func() time.Time { return time.Now().Add(time.Duration(f.clock.Load())) },
	})
	return f
}

func (f *fakeAPI) serve(groupVersion string, kinds ...string) {
	for _, l := range f.disc.Resources {
		if l.GroupVersion == groupVersion {
			for _, k := range kinds {
				l.APIResources = append(l.APIResources, metav1.APIResource{Name: plurals[k].Resource, Kind: k, Namespaced: k != "Node"})
			}
			return
		}
	}
	f.disc.Resources = append(f.disc.Resources, &metav1.APIResourceList{GroupVersion: groupVersion})
	f.serve(groupVersion, kinds...)
}

func (f *fakeAPI) advance(d time.Duration) { f.clock.Add(int64(d)) }

func (f *fakeAPI) now() time.Time { return f.watches.now() }

// object is a stored object; its UID is its name with "-uid" unless uid is given.
func object(kind, name string, owner *metav1.PartialObjectMetadata, uid ...string) *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: plurals[kind].GroupVersion().String(), Kind: kind},
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name + "-uid"), Labels: map[string]string{"app": name}},
	}
	if kind != "Node" {
		o.Namespace = "shop"
	}
	if len(uid) > 0 {
		o.UID = types.UID(uid[0])
	}
	if owner != nil {
		yes := true
		o.OwnerReferences = []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Node", Name: "not-the-controller", UID: "x"},
			{APIVersion: owner.APIVersion, Kind: owner.Kind, Name: owner.Name, UID: owner.UID, Controller: &yes},
		}
	}
	return o
}

func (f *fakeAPI) create(objects ...*metav1.PartialObjectMetadata) {
	f.tb.Helper()
	for _, o := range objects {
		require.NoError(f.tb, f.client.Tracker().Create(plurals[o.Kind], o, o.Namespace))
	}
}

func (f *fakeAPI) delete(o *metav1.PartialObjectMetadata) {
	f.tb.Helper()
	require.NoError(f.tb, f.client.Tracker().Delete(plurals[o.Kind], o.Namespace, o.Name))
}

// watching begins the watch of kind and returns when it is open.
func (f *fakeAPI) watching(kind string) *watchedKind {
	f.tb.Helper()
	open := f.watches.metrics.requests.WithLabelValues("watch", "ok")
	before := counted(f.tb, open)
	k := f.watches.of(resource{plurals[kind], kind != "Node"})
	require.Eventually(f.tb, func() bool { return counted(f.tb, open) > before }, 10*time.Second, time.Millisecond)
	return k
}

// count counts requests.
func (f *fakeAPI) count(verb, resource string) (n int) {
	for _, a := range f.client.Actions() {
		if a.GetVerb() == verb && a.GetResource().Resource == resource {
			n++
		}
	}
	return n
}

func (f *fakeAPI) forbid(verb, resource string) {
	f.client.PrependReactor(verb, resource, func(a clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(a.GetResource().GroupResource(), "", fmt.Errorf("no"))
	})
}

func ref(o *metav1.PartialObjectMetadata) schemas.Subject {
	return schemas.Subject{APIVersion: o.APIVersion, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, UID: string(o.UID)}
}

// look is a Lookup of something that happened just now, with the deadline of a batch.
func (f *fakeAPI) look(s schemas.Subject) Object {
	ctx, cancel := context.WithTimeout(f.tb.Context(), 2*time.Second)
	defer cancel()
	return f.Lookup(ctx, s, f.now())
}

// counted is the value of a counter.
func counted(tb testing.TB, c prometheus.Counter) float64 {
	tb.Helper()
	var m dto.Metric
	require.NoError(tb, c.Write(&m))
	return m.GetCounter().GetValue()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestLookupFollowsTheOwnerChain(t *testing.T) {
	f := newFakeAPI(t)
	deployment := object("Deployment", "web", nil)
	set := object("ReplicaSet", "web-1", deployment)
	pod := object("Pod", "web-1-a", set)
	f.create(deployment, set, pod)
	o := f.look(ref(pod))
	require.Equal(t, Object{
		UID: "web-1-a-uid", Found: true, Labels: map[string]string{"app": "web-1-a"}, OwnerLabels: []map[string]string{{"app": "web-1"}, {"app": "web"}},
		Status: schemas.EnrichmentComplete,
		Owners: []schemas.Owner{
			{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-1", UID: "web-1-uid"},
			{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "web-uid"},
		},
	}, o)
	f.client.ClearActions()
	require.Equal(t, o, f.look(ref(pod)))
	require.Empty(t, f.client.Actions(), "what is cached costs no request")
}

func TestLookupOfANodeGoesByItsName(t *testing.T) {
	f := newFakeAPI(t)
	node := object("Node", "node-1", nil)
	f.create(node)
	s := ref(node)
	s.UID = "node-1" // as the kubelet reports it
	for range 2 {
		o := f.look(s)
		require.Equal(t, schemas.EnrichmentComplete, o.Status)
		require.Equal(t, "node-1-uid", o.UID)
	}
	s.Namespace = "default" // some reporters put an Event's namespace there
	require.True(t, f.look(s).Found)
}

func TestASuccessorsLabelsAreNotUsed(t *testing.T) {
	f := newFakeAPI(t)
	f.watching("Pod")
	old, successor := object("Pod", "db-0", nil, "old"), object("Pod", "db-0", nil, "new")
	f.create(successor)
	want := Object{Status: schemas.EnrichmentPartial, Missing: []string{"object: replaced"}}
	require.Equal(t, want, f.look(ref(old)))
	require.Equal(t, want, f.Lookup(t.Context(), ref(old), f.now().Add(-time.Hour)), "nor for old news, which costs no request")
	require.True(t, f.look(ref(successor)).Found)
	nameless := ref(old)
	nameless.UID = "" // the taint eviction controller names no UID
	require.Equal(t, "new", f.look(nameless).UID)
}

func TestDeletedObjectsStayKnownForAWhile(t *testing.T) {
	f := newFakeAPI(t)
	k := f.watching("Pod")
	pod, successor := object("Pod", "web-1-a", nil), object("Pod", "web-1-a", nil, "second")
	f.create(pod)
	f.delete(pod)
	require.Eventually(t, func() bool { _, deleted := k.size(); return deleted == 1 }, 5*time.Second, time.Millisecond)
	require.Equal(t, "web-1-a", f.look(ref(pod)).Labels["app"])
	f.create(successor)
	require.True(t, f.look(ref(successor)).Found)
	require.Equal(t, "web-1-a-uid", f.look(ref(pod)).UID, "its successor does not hide it")
	f.advance(Default().KeepDeleted + time.Second)
	require.Equal(t, []string{"object: replaced"}, f.look(ref(pod)).Missing)
	f.create(object("Pod", "another", nil))
	require.Eventually(t, func() bool { live, deleted := k.size(); return live == 2 && deleted == 0 }, 5*time.Second, time.Millisecond, "the memory is free again")
}

func TestAPodDeletedAtOnceIsWaitedFor(t *testing.T) {
	f := newFakeAPI(t)
	k := f.watching("Pod")
	pod := object("Pod", "short-lived", nil)
	f.client.PrependReactor("get", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		// The API server no longer has it, and the watch is about to tell.
		time.AfterFunc(10*time.Millisecond, func() { _ = k.Delete(pod) })
		return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, pod.Name)
	})
	require.Equal(t, schemas.EnrichmentComplete, f.look(ref(pod)).Status)
}

func TestAMissingObjectIsAskedForOnce(t *testing.T) {
	f := newFakeAPI(t)
	f.watching("Pod")
	s := ref(object("Pod", "never-was", nil))
	want := Object{Status: schemas.EnrichmentPartial, Missing: []string{"object: not found"}}
	for range 3 {
		require.Equal(t, want, f.look(s))
	}
	require.Equal(t, 1, f.count("get", "pods"))
	f.advance(answerTTL + time.Second)
	require.Equal(t, want, f.look(s))
	require.Equal(t, 2, f.count("get", "pods"))

	s.Name = "long-gone"
	require.Equal(t, want, f.Lookup(t.Context(), s, f.now().Add(-2*settled)))
	require.Equal(t, 2, f.count("get", "pods"), "a working watch is believed about old news")
}

func TestASpentRateNeitherWaitsNorFails(t *testing.T) {
	f := newFakeAPI(t, func(c *Config) { c.APIQPS, c.APIBurst = 0.001, 3 })
	f.watching("Pod")
	for i := range 50 {
		require.Equal(t, []string{"object: not found"}, f.look(ref(object("Pod", fmt.Sprint("gone-", i), nil))).Missing)
	}
	require.Equal(t, 3, f.count("get", "pods"))
}

func TestForbiddenKindsDegradeOneField(t *testing.T) {
	f := newFakeAPI(t)
	f.forbid("*", "replicasets")
	set := object("ReplicaSet", "web-1", object("Deployment", "web", nil))
	pod, other := object("Pod", "web-1-a", set), object("Pod", "web-1-b", set)
	f.create(pod, other)
	for _, p := range []*metav1.PartialObjectMetadata{pod, other, pod} {
		o := f.look(ref(p))
		require.True(t, o.Found)
		require.NotEmpty(t, o.Labels)
		require.Equal(t, schemas.EnrichmentPartial, o.Status)
		require.Equal(t, []string{"owner: forbidden"}, o.Missing)
		require.Equal(t, "web-1", o.Owners[0].Name, "what the reference itself says is known")
	}
	require.Equal(t, 1, f.count("get", "replicasets"))
	for _, rule := range []string{
		`{apiGroups: [\"apps\"], resources: [\"replicasets\"], verbs: [\"get\"]}`,
		`{apiGroups: [\"apps\"], resources: [\"replicasets\"], verbs: [\"list\", \"watch\"]}`,
	} {
		require.Equal(t, 1, strings.Count(f.log.String(), rule), f.log.String())
	}
	require.GreaterOrEqual(t, counted(t, f.watches.metrics.requests.WithLabelValues("get", "forbidden")), 1.0)
}

func TestWithoutWatchPermissionSingleRequestsServe(t *testing.T) {
	f := newFakeAPI(t)
	f.forbid("list", "pods")
	pod := object("Pod", "web-1-a", nil)
	f.create(pod)
	require.Equal(t, schemas.EnrichmentComplete, f.look(ref(pod)).Status)
	require.Equal(t, schemas.EnrichmentComplete, f.look(ref(pod)).Status)
	require.Equal(t, 1, f.count("get", "pods"), "the answer is remembered")
}

func TestWithoutGetPermissionTheWatchIsBelieved(t *testing.T) {
	f := newFakeAPI(t)
	f.forbid("get", "pods")
	f.watching("Pod")
	pod := object("Pod", "web-1-a", nil)
	f.create(pod)
	require.Eventually(t, func() bool { return f.look(ref(pod)).Found }, 5*time.Second, time.Millisecond)
	require.Equal(t, []string{"object: not found"}, f.look(ref(object("Pod", "gone", nil))).Missing)
}

func TestSecretsAndEventsAreNeverRead(t *testing.T) {
	f := newFakeAPI(t)
	pod := object("Pod", "p", object("Secret", "s", nil))
	f.create(pod, object("Secret", "s", nil))
	for _, s := range []schemas.Subject{
		{APIVersion: "v1", Kind: "Secret", Namespace: "shop", Name: "s"},
		{Kind: "Secret", Namespace: "shop", Name: "s"},
		{APIVersion: "v1", Kind: "Event", Namespace: "shop", Name: "e"},
		{APIVersion: "events.k8s.io/v1", Kind: "Event", Namespace: "shop", Name: "e"},
	} {
		require.Equal(t, []string{"object: never read"}, f.look(s).Missing)
	}
	require.Equal(t, []string{"owner: never read"}, f.look(ref(pod)).Missing)
	require.Zero(t, f.count("get", "secrets")+f.count("list", "secrets")+f.count("watch", "secrets"))
}

func TestChurningKindsAreNotWatched(t *testing.T) {
	f := newFakeAPI(t)
	lease := object("Lease", "leader", nil)
	f.create(lease)
	require.True(t, f.look(ref(lease)).Found)
	require.Equal(t, 1, f.count("get", "leases"))
	require.Zero(t, f.count("list", "leases"))
}

func TestCustomKindsAreFoundWhenTheyAppear(t *testing.T) {
	f := newFakeAPI(t)
	discoveries := func() float64 {
		return counted(t, f.watches.metrics.requests.WithLabelValues("discover", "ok"))
	}
	rollout := object("Rollout", "canary", nil)
	pod := object("Pod", "canary-a", rollout)
	f.create(pod, rollout)
	for range 5 {
		require.Equal(t, []string{"owner: unknown kind"}, f.look(ref(pod)).Missing)
		require.Equal(t, []string{"object: unknown kind"}, f.look(ref(rollout)).Missing)
	}
	require.Equal(t, 1.0, discoveries(), "at most one in a minute")
	f.serve("argoproj.io/v1alpha1", "Rollout")
	f.advance(discoverAgain + time.Second)
	o := f.look(ref(pod))
	require.Equal(t, schemas.EnrichmentComplete, o.Status)
	require.Equal(t, "Rollout", o.Owners[0].Kind)
	require.Equal(t, 2.0, discoveries())
	s := ref(rollout)
	s.APIVersion = "" // some reporters leave it out
	require.True(t, f.look(s).Found)
}

func TestSubjectsWithoutEnoughToAskForAreMarked(t *testing.T) {
	f := newFakeAPI(t)
	for _, s := range []schemas.Subject{
		{Kind: "Pod", Namespace: "shop"}, {APIVersion: "a/b/c", Kind: "Pod", Name: "x"}, {APIVersion: "v1", Name: "x"}, {},
	} {
		require.Equal(t, []string{"object: unknown kind"}, f.look(s).Missing)
	}
	require.Equal(t, []string{"object: not found"}, f.look(schemas.Subject{APIVersion: "v1", Kind: "Pod", Name: "no-namespace"}).Missing)
}

func TestChainsEnd(t *testing.T) {
	f := newFakeAPI(t)
	a, b := object("ReplicaSet", "a", nil), object("ReplicaSet", "b", nil)
	yes := true
	a.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "b", UID: b.UID, Controller: &yes}}
	b.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "a", UID: a.UID, Controller: &yes}}
	static := object("Pod", "etcd-control-1", object("Node", "control-1", nil))
	orphan := object("Pod", "orphan", object("ReplicaSet", "gone", nil))
	only := object("Pod", "only", nil)
	only.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "web-uid"}}
	f.create(a, b, static, orphan, only, object("Deployment", "web", nil))

	require.Equal(t, []string{"owner: too deep"}, f.look(ref(a)).Missing)
	require.Len(t, f.look(ref(a)).Owners, maxOwners)
	o := f.look(ref(static))
	require.Equal(t, schemas.EnrichmentComplete, o.Status)
	require.Equal(t, "Node", o.Owners[0].Kind)
	o = f.look(ref(orphan))
	require.Equal(t, []string{"owner: not found"}, o.Missing)
	require.Equal(t, "gone", o.Owners[0].Name)
	require.Equal(t, "web", f.look(ref(only)).Owners[0].Name, "the only owner need not be called controller")
}

func TestLargeAnnotationsAreNotKept(t *testing.T) {
	f := newFakeAPI(t)
	pod := object("Pod", "p", nil)
	pod.Annotations = map[string]string{lastApplied: "{}", "small": "x", "large": strings.Repeat("y", maxCachedAnnotation+1)}
	f.create(pod)
	o := f.look(ref(pod))
	require.Equal(t, map[string]string{"small": "x"}, o.Annotations)
	require.True(t, o.AnnotationsCut)
}

// hang makes every request wait until the test ends.
func (f *fakeAPI) hang() {
	wait := func(clienttesting.Action) (bool, runtime.Object, error) {
		<-f.tb.Context().Done()
		return true, nil, context.Canceled
	}
	f.client.PrependReactor("*", "*", wait)
}

func TestAHangingAPIServerCostsTheDeadlineAndNoMore(t *testing.T) {
	f := newFakeAPI(t)
	f.hang()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	o := f.Lookup(ctx, ref(object("Pod", "p", nil)), f.now())
	require.Equal(t, Object{Status: schemas.EnrichmentUnavailable, Missing: []string{"object: timeout"}}, o)
	require.Less(t, time.Since(start), 2*time.Second)
}

func TestAnAPIServerThatIsAwayIsLeftAloneForAWhile(t *testing.T) {
	f := newFakeAPI(t, func(c *Config) { c.SyncWait = 0 })
	f.client.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, fmt.Errorf("dial tcp: connection refused")
	})
	for i := range 40 {
		o := f.look(ref(object("Pod", fmt.Sprint("p-", i), nil)))
		require.Equal(t, []string{"object: unreachable"}, o.Missing)
		require.Equal(t, schemas.EnrichmentUnavailable, o.Status)
	}
	require.Equal(t, breakAfter, f.count("get", "pods"))
	f.advance(breakFor + time.Second)
	f.look(ref(object("Pod", "p", nil)))
	require.Equal(t, breakAfter+1, f.count("get", "pods"), "then one request tries")
}

func TestADiscoveryThatFailsIsTriedAgain(t *testing.T) {
	f := newFakeAPI(t)
	var away atomic.Bool
	away.Store(true)
	f.disc.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		if away.Load() {
			return true, nil, fmt.Errorf("dial tcp: connection refused")
		}
		return true, nil, nil
	})
	pod := object("Pod", "p", nil)
	f.create(pod)
	require.Equal(t, []string{"object: unreachable"}, f.look(ref(pod)).Missing)
	away.Store(false)
	require.Equal(t, []string{"object: unreachable"}, f.look(ref(pod)).Missing, "not at once")
	f.advance(discoverRetry + time.Second)
	require.True(t, f.look(ref(pod)).Found)
}

func TestLookupsAreSafeForConcurrentUse(t *testing.T) {
	f := newFakeAPI(t)
	deployment := object("Deployment", "web", nil)
	f.create(deployment)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 5 { // the fake's watch holds 100 changes
				pod := object("Pod", fmt.Sprintf("p-%d-%d", w, i), deployment)
				f.create(pod)
				o := f.look(ref(pod))
				if !o.Found || o.Status != schemas.EnrichmentComplete {
					t.Errorf("%s: %+v", pod.Name, o)
				}
				f.delete(pod)
				f.look(ref(pod))
			}
		})
	}
	wg.Wait()
}
