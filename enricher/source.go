package enricher

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	appsv1 "k8s.io/api/apps/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// source reads the objects of one kind.
type source struct {
	// example is what list and watch yield; client is asked whether it can stream lists.
	example runtime.Object
	client  any
	list    func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error)
	watch   func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
	get     func(ctx context.Context, namespace, name string) (metav1.Object, error)
}

// The kinds of which more than the metadata is read. Of what is read no more is kept than facts.go says.
var (
	podResource       = resource{schema.GroupVersionResource{Version: "v1", Resource: "pods"}, true}
	nodeResource      = resource{schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, false}
	serviceResource   = resource{schema.GroupVersionResource{Version: "v1", Resource: "services"}, true}
	sliceResource     = resource{schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}, true}
	replicaSets       = resource{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}, true}
	revisionResource  = resource{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "controllerrevisions"}, true}
	volumeResource    = resource{schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumes"}, false}
	namespaceResource = resource{schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, false}
)

// wholeSources are the sources of those kinds.
func wholeSources(c kubernetes.Interface) map[schema.GroupResource]source {
	return map[schema.GroupResource]source{
		podResource.GroupResource(): typed(c, &corev1.Pod{}, func(ns string) typedClient[*corev1.Pod, *corev1.PodList] {
			return c.CoreV1().Pods(ns)
		}),
		nodeResource.GroupResource(): typed(c, &corev1.Node{}, func(string) typedClient[*corev1.Node, *corev1.NodeList] {
			return c.CoreV1().Nodes()
		}),
		serviceResource.GroupResource(): typed(c, &corev1.Service{}, func(ns string) typedClient[*corev1.Service, *corev1.ServiceList] {
			return c.CoreV1().Services(ns)
		}),
		sliceResource.GroupResource(): typed(c, &discoveryv1.EndpointSlice{}, func(ns string) typedClient[*discoveryv1.EndpointSlice, *discoveryv1.EndpointSliceList] {
			return c.DiscoveryV1().EndpointSlices(ns)
		}),
		volumeResource.GroupResource(): typed(c, &corev1.PersistentVolume{}, func(string) typedClient[*corev1.PersistentVolume, *corev1.PersistentVolumeList] {
			return c.CoreV1().PersistentVolumes()
		}),
		replicaSets.GroupResource(): typed(c, &appsv1.ReplicaSet{}, func(ns string) typedClient[*appsv1.ReplicaSet, *appsv1.ReplicaSetList] {
			return c.AppsV1().ReplicaSets(ns)
		}),
		revisionResource.GroupResource(): typed(c, &appsv1.ControllerRevision{}, func(ns string) typedClient[*appsv1.ControllerRevision, *appsv1.ControllerRevisionList] {
			return c.AppsV1().ControllerRevisions(ns)
		}),
	}
}

// typedClient is what the clients of all kinds share.
type typedClient[O, L any] interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (O, error)
	List(ctx context.Context, o metav1.ListOptions) (L, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

func typed[O metav1.Object, L runtime.Object](client any, example runtime.Object, in func(namespace string) typedClient[O, L]) source {
	return source{
		example: example, client: client,
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return in("").List(ctx, o) },
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return in("").Watch(ctx, o)
		},
		get: func(ctx context.Context, namespace, name string) (metav1.Object, error) {
			return in(namespace).Get(ctx, name, metav1.GetOptions{})
		},
	}
}

// sources finds the source of a kind: its metadata, unless whole has another.
type sources struct {
	meta  metadata.Interface
	whole map[schema.GroupResource]source
}

func (s sources) of(r resource) source {
	if whole, ok := s.whole[r.GroupResource()]; ok {
		return whole
	}
	client := s.meta.Resource(r.GroupVersionResource)
	return source{
		example: &metav1.PartialObjectMetadata{}, client: s.meta,
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return client.List(ctx, o) },
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return client.Watch(ctx, o)
		},
		get: func(ctx context.Context, namespace, name string) (metav1.Object, error) {
			if r.namespaced {
				return client.Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
			}
			return client.Get(ctx, name, metav1.GetOptions{})
		},
	}
}
