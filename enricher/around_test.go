package enricher

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	discoveryfake "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"kubescribe/internal/stream"
	"kubescribe/schemas"
)

// wholeAPI is an API server in memory whose objects are read whole, and a Live that asks it.
type wholeAPI struct {
	*Live
	t      *testing.T
	client *fake.Clientset
	log    *lockedBuffer
}

func newWholeAPI(t *testing.T, objects ...runtime.Object) *wholeAPI {
	scheme := runtime.NewScheme()
	require.NoError(t, metav1.AddMetaToScheme(scheme))
	a := &wholeAPI{t: t, client: fake.NewClientset(objects...), log: &lockedBuffer{}}
	var metas []runtime.Object
	for _, o := range objects {
		if ns, ok := o.(*corev1.Namespace); ok {
			metas = append(metas, &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: ns.ObjectMeta})
		}
		if d, ok := o.(*appsv1.Deployment); ok {
			metas = append(metas, &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: d.ObjectMeta})
		}
	}
	disc := &discoveryfake.FakeDiscovery{Fake: &clienttesting.Fake{Resources: []*metav1.APIResourceList{
		{GroupVersion: "v1", APIResources: []metav1.APIResource{
			{Name: "pods", Kind: "Pod", Namespaced: true},
			{Name: "nodes", Kind: "Node"},
			{Name: "namespaces", Kind: "Namespace"},
			{Name: "persistentvolumes", Kind: "PersistentVolume"},
		}},
		{GroupVersion: "apps/v1", APIResources: []metav1.APIResource{
			{Name: "replicasets", Kind: "ReplicaSet", Namespaced: true},
			{Name: "deployments", Kind: "Deployment", Namespaced: true},
			{Name: "statefulsets", Kind: "StatefulSet", Namespaced: true},
			{Name: "daemonsets", Kind: "DaemonSet", Namespaced: true},
		}},
	}}}
	a.Live = newLive(t.Context(), Default(), sources{metadatafake.NewSimpleMetadataClient(scheme, metas...), wholeSources(a.client)}, disc,
		stream.Deps{Log: slog.New(slog.NewTextHandler(a.log, nil)), Metrics: prometheus.NewRegistry()})
	return a
}

func (a *wholeAPI) look(o metav1.Object, kind string) Object {
	group := "v1"
	if strings.HasSuffix(kind, "Set") || kind == "Deployment" {
		group = "apps/v1"
	}
	return a.Lookup(a.t.Context(), schemas.Subject{APIVersion: group, Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), UID: string(o.GetUID())}, time.Now())
}

// forbid answers every request for a resource with 403.
func (a *wholeAPI) forbid(r string) {
	a.client.PrependReactor("*", r, func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: r}, "", nil)
	})
	a.client.PrependWatchReactor(r, func(clienttesting.Action) (bool, watch.Interface, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: r}, "", nil)
	})
}

var (
	monday = time.Date(2026, 11, 16, 9, 0, 0, 0, time.UTC)
	yes    = true
)

func om(name string, owner *metav1.ObjectMeta, ownerKind string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name + "-uid"), CreationTimestamp: metav1.NewTime(monday)}
	if owner != nil {
		m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: ownerKind, Name: owner.Name, UID: owner.UID, Controller: &yes}}
	}
	return m
}

func spec(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}}}
}

// shop is a Deployment in its second revision, with its node, namespace and Services.
func shop() (pod *corev1.Pod, all []runtime.Object) {
	web := appsv1.Deployment{ObjectMeta: om("web", nil, "")}
	web.Labels = map[string]string{"owner": "web-owner"}
	old := &appsv1.ReplicaSet{ObjectMeta: om("web-1", &web.ObjectMeta, "Deployment"), Spec: appsv1.ReplicaSetSpec{Template: spec("web:1")}}
	old.Annotations = map[string]string{"deployment.kubernetes.io/revision": "1"}
	now := &appsv1.ReplicaSet{ObjectMeta: om("web-2", &web.ObjectMeta, "Deployment"), Spec: appsv1.ReplicaSetSpec{Template: spec("web:2")}}
	now.Annotations = map[string]string{"deployment.kubernetes.io/revision": "2"}
	now.CreationTimestamp = metav1.NewTime(monday.Add(time.Hour))
	pod = &corev1.Pod{ObjectMeta: om("web-2-a", &now.ObjectMeta, "ReplicaSet"), Spec: spec("web:2").Spec}
	pod.Labels, pod.Spec.NodeName = map[string]string{"app": "web"}, "node-1"
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", UID: "node-1-uid", Labels: map[string]string{
		"topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r", "node.kubernetes.io/instance-type": "big", "karpenter.sh/nodepool": "spot",
	}}}
	node.Spec.Unschedulable = true
	node.Status.Conditions = []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionUnknown},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse},
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionTrue},
	}
	selecting := &corev1.Service{ObjectMeta: om("by-selector", nil, ""), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}}}
	other := &corev1.Service{ObjectMeta: om("other", nil, ""), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "db"}}}
	more := &corev1.Service{ObjectMeta: om("more-than-it-has", nil, ""), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web", "b": "c"}}}
	none := &corev1.Service{ObjectMeta: om("without-selector", nil, "")}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "shop-uid", Labels: map[string]string{"team": "checkout"}}}
	return pod, []runtime.Object{&web, old, now, pod, node, selecting, other, more, none, ns, slice("by-hand", "1", pod.UID)}
}

func slice(service, name string, pods ...types.UID) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: om(service+"-"+name, nil, ""), AddressType: discoveryv1.AddressTypeIPv4}
	s.Labels = map[string]string{discoveryv1.LabelServiceName: service}
	for _, uid := range pods {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{"10.0.0.1"}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "p", UID: uid}})
	}
	return s
}

func TestEverythingAroundAPod(t *testing.T) {
	pod, all := shop()
	a := newWholeAPI(t, all...)
	o := a.look(pod, "Pod")
	require.Equal(t, schemas.EnrichmentComplete, o.Status, o.Missing)
	require.Equal(t, "/ReplicaSet/Deployment", kindsOf(o))
	require.Equal(t, map[string]string{"team": "checkout"}, o.NamespaceLabels)
	require.Equal(t, []string{"by-hand", "by-selector"}, o.Services)
	require.Equal(t, []Image{{"main", "web:2"}}, o.Images)
	require.Equal(t, []Revision{{1, monday, []string{"web:1"}}, {2, monday.Add(time.Hour), []string{"web:2"}}}, o.Revisions)
	require.EqualValues(t, 2, o.OwnRevision)
	require.Equal(t, "node-1-uid", o.Node.UID)

	ob := &schemas.Observation{
		Type: schemas.TypeEvent, Cluster: schemas.Cluster{Name: "c", UID: "u"}, Time: monday.Add(time.Hour + 90*time.Second), ID: "i",
		Subject: schemas.Subject{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: pod.Name, UID: string(pod.UID), FieldPath: "spec.containers{main}"},
		Payload: []byte(`{"reason":"BackOff","type":"Warning"}`),
	}
	f, err := Default().fields()
	require.NoError(t, err)
	d, err := Enrich(ob, o, f)
	require.NoError(t, err)
	require.Equal(t, &schemas.Rollout{
		Revision: 2, Images: []string{"web:2"}, PreviousImages: []string{"web:1"}, ChangedAt: monday.Add(time.Hour), AgeSeconds: 90,
	}, d.Kubescribe.Rollout)
	require.Equal(t, &schemas.NodeState{Pool: "spot", Ready: "Unknown", Conditions: []string{"Ready", "MemoryPressure"}, Unschedulable: true}, d.Kubescribe.Node)
	require.Equal(t, &schemas.Cloud{AvailabilityZone: "a", Region: "r", Machine: &schemas.CloudMachine{Type: "big"}}, d.Cloud)
	require.Equal(t, &schemas.KubernetesName{Name: "node-1", UID: "node-1-uid"}, d.Kubernetes.Node)
	require.Equal(t, "web:2", d.Container.Image.Name)
	require.Equal(t, "web-owner", d.Labels["team"], "an owner's label comes before the namespace's")
	require.Equal(t, "web", d.Service.Name, "the label app")

	// Before the second revision it was the first, whatever is known today; and a pod of the first says so afterwards.
	ob.Time, o.OwnRevision = monday.Add(time.Minute), 1
	d, err = Enrich(ob, o, f)
	require.NoError(t, err)
	require.Equal(t, &schemas.Rollout{Revision: 1, Images: []string{"web:1"}, ChangedAt: monday, AgeSeconds: 60}, d.Kubescribe.Rollout)
	ob.Time = monday.Add(2 * time.Hour)
	d, err = Enrich(ob, o, f)
	require.NoError(t, err)
	require.EqualValues(t, 2, d.Kubescribe.Rollout.Revision)
	require.EqualValues(t, 1, d.Kubescribe.Rollout.PodRevision)
}

// Each permission that is missing costs its own fact, is reported once with its rule, and the rest is there.
func TestAMissingPermissionCostsOneFact(t *testing.T) {
	for resource, want := range map[string]struct{ missing, rule string }{
		"nodes":          {"node: forbidden", `{apiGroups: [""], resources: ["nodes"], verbs: ["list", "watch"]}`},
		"services":       {"services: forbidden", `{apiGroups: [""], resources: ["services"], verbs: ["list", "watch"]}`},
		"endpointslices": {"services: forbidden", `{apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list", "watch"]}`},
	} {
		t.Run(resource, func(t *testing.T) {
			pod, all := shop()
			a := newWholeAPI(t, all...)
			a.forbid(resource)
			for range 3 {
				o := a.look(pod, "Pod")
				require.Equal(t, schemas.EnrichmentPartial, o.Status)
				require.Equal(t, []string{want.missing}, o.Missing)
				require.Equal(t, "/ReplicaSet/Deployment", kindsOf(o))
				require.Len(t, o.Revisions, 2)
				require.Equal(t, resource == "nodes", o.Node.UID == "")
				require.Equal(t, "node-1", o.Node.Name)
			}
			require.Equal(t, 1, strings.Count(a.log.String(), strings.ReplaceAll(want.rule, `"`, `\"`)), a.log.String())
		})
	}
}

func TestRevisionsOfAStatefulSetAndADaemonSet(t *testing.T) {
	for kind, hash := range map[string]string{"StatefulSet": "db-7", "DaemonSet": "7"} {
		owner := om("db", nil, "")
		var all []runtime.Object
		for i := range 2 {
			rev := &appsv1.ControllerRevision{ObjectMeta: om(fmt.Sprint("db-", 6+i), &owner, kind), Revision: int64(i + 1)}
			rev.CreationTimestamp = metav1.NewTime(monday.Add(time.Duration(i) * time.Hour))
			rev.Data.Raw = fmt.Appendf(nil, `{"spec":{"template":{"$patch":"replace","spec":{"containers":[{"name":"main","image":"db:%d"}]}}}}`, i+1)
			all = append(all, rev)
		}
		pod := &corev1.Pod{ObjectMeta: om("db-0", &owner, kind)}
		pod.Labels = map[string]string{"controller-revision-hash": hash}
		o := newWholeAPI(t, append(all, pod)...).look(pod, "Pod")
		require.Equal(t, []Revision{{1, monday, []string{"db:1"}}, {2, monday.Add(time.Hour), []string{"db:2"}}}, o.Revisions)
		require.EqualValues(t, 2, o.OwnRevision, kind)
	}
}

// A rollback makes an old ReplicaSet the latest revision: what counts is when.
func TestARollbackIsAChange(t *testing.T) {
	set := &appsv1.ReplicaSet{ObjectMeta: om("web-1", nil, ""), Spec: appsv1.ReplicaSetSpec{Template: spec("web:1")}}
	set.Annotations = map[string]string{"deployment.kubernetes.io/revision": "1"}
	before := factsOfReplicaSet(set)
	require.Equal(t, monday, before.since.UTC())

	back := set.DeepCopy()
	back.Annotations = map[string]string{"deployment.kubernetes.io/revision": "3", revisionHistory: "1"}
	at := metav1.NewTime(monday.Add(time.Hour))
	later := metav1.NewTime(monday.Add(9 * time.Hour))
	back.ManagedFields = []metav1.ManagedFieldsEntry{{Time: &at}, {Time: &later, Subresource: "status"}}
	f := factsOfReplicaSet(back)
	f.follow(before, monday.Add(2*time.Hour))
	require.Equal(t, at.UTC(), f.since.UTC())

	// Scaling is no change of the revision, though it touches the object.
	scaled := back.DeepCopy()
	scaled.ManagedFields = []metav1.ManagedFieldsEntry{{Time: &later}}
	g := factsOfReplicaSet(scaled)
	g.follow(f, monday.Add(10*time.Hour))
	require.Equal(t, at.UTC(), g.since.UTC())

	// Without a time of its own the watch's counts.
	set.Annotations = map[string]string{"rollout.argoproj.io/revision": "4"}
	f = factsOfReplicaSet(set)
	f.follow(g, monday.Add(11*time.Hour))
	require.Equal(t, monday.Add(11*time.Hour), f.since)
}

// Addresses are taken over; a pod is what its UID says, and stays a member for a while after it is gone.
func TestMembershipsOutliveThePod(t *testing.T) {
	now := monday
	m := newMemberships(15 * time.Minute)
	services := func(pod string, lives bool) (names []string) {
		m.of(pod, lives, now, func(s string) { names = append(names, s) })
		return names
	}
	first, second := newEntry(slice("web", "1", "a-uid")), newEntry(slice("web", "1", "b-uid"))
	m.change(nil, first, now)
	require.Equal(t, []string{"web"}, services("a-uid", true))
	m.change(first, second, now) // b has a's address
	require.Empty(t, services("a-uid", true), "it lives and is selected no more")
	require.Equal(t, []string{"web"}, services("a-uid", false))
	require.Equal(t, []string{"web"}, services("b-uid", true))
	m.change(second, nil, now) // the Service is deleted
	require.Equal(t, []string{"web"}, services("b-uid", false))
	now = now.Add(16 * time.Minute)
	require.Empty(t, services("a-uid", false))
	m.change(nil, newEntry(slice("web", "2", "b-uid")), now)
	require.Equal(t, []string{"web"}, services("b-uid", true))
	require.Len(t, m.byPod, 1)
	require.Empty(t, m.ended)
}

func TestOnPodSeesEveryPodWhole(t *testing.T) {
	pod, all := shop()
	a := newWholeAPI(t, all...)
	seen := make(chan *corev1.Pod, 10)
	gone := make(chan string, 1)
	a.OnPod(func(p *corev1.Pod) { seen <- p }, func(uid string) { gone <- uid })
	require.Equal(t, "node-1", (<-seen).Spec.NodeName)
	_, err := a.client.CoreV1().Pods("shop").UpdateStatus(t.Context(), &corev1.Pod{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec, Status: corev1.PodStatus{Phase: corev1.PodFailed}}, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.Equal(t, corev1.PodFailed, (<-seen).Status.Phase)
	require.NoError(t, a.client.CoreV1().Pods("shop").Delete(t.Context(), pod.Name, metav1.DeleteOptions{}))
	require.Equal(t, string(pod.UID), <-gone)
}

// Objects of the cluster have facts of their own.
func TestFactsOfClusterScopedObjects(t *testing.T) {
	_, all := shop()
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-1", UID: "pv-1-uid", Labels: map[string]string{"disk": "fast"}}}
	pv.Spec.StorageClassName, pv.Spec.ClaimRef = "ssd", &corev1.ObjectReference{Namespace: "shop", Name: "data-db-0"}
	pv.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: apiresource.MustParse("10Gi")}
	pv.Status.Phase = corev1.VolumeFailed
	a := newWholeAPI(t, append(all, pv)...)

	o := a.look(pv, "PersistentVolume")
	require.Equal(t, schemas.EnrichmentComplete, o.Status, o.Missing)
	require.Equal(t, &schemas.VolumeState{Phase: "Failed", StorageClass: "ssd", Capacity: "10Gi", ClaimNamespace: "shop", Claim: "data-db-0"}, o.Volume)
	require.Equal(t, map[string]string{"team": "checkout"}, o.NamespaceLabels, "its claim's")
	ob := recording(t)[0]
	ob.Subject = schemas.Subject{APIVersion: "v1", Kind: "PersistentVolume", Name: "pv-1"}
	d, err := Enrich(ob, o, fields())
	require.NoError(t, err)
	require.Equal(t, o.Volume, d.Kubescribe.Volume)

	o = a.look(&metav1.ObjectMeta{Name: "shop", UID: "shop-uid"}, "Namespace")
	require.Equal(t, schemas.EnrichmentComplete, o.Status, o.Missing)
	require.Equal(t, map[string]string{"team": "checkout"}, o.NamespaceLabels)

	o = a.look(&metav1.ObjectMeta{Name: "node-1", UID: "node-1"}, "Node") // as the kubelet names it
	require.Equal(t, schemas.EnrichmentComplete, o.Status, o.Missing)
	require.Equal(t, "node-1-uid", o.Node.UID)
	require.Equal(t, []string{"Ready", "MemoryPressure"}, o.Node.Conditions)
}
