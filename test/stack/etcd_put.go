package stack

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// PodsPrefix is where the API server keeps pods in etcd.
const PodsPrefix = "/registry/pods/"

// StoredForm is an object of the API group v1 as the API server stores it: for tests that need more objects than they have time to
// write through it. Give it all that the API server would have set, but for the resourceVersion.
func StoredForm(object runtime.Object) ([]byte, error) {
	s := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	b, err := runtime.Encode(scheme.Codecs.EncoderForVersion(s, schema.GroupVersion{Version: "v1"}), object)
	if err != nil {
		return nil, fmt.Errorf("encoding an object for etcd: %w", err)
	}
	return b, nil
}

// PutInEtcd writes n keys behind the API server's back, each in a revision of its own, in no particular order.
func PutInEtcd(ctx context.Context, endpoint string, n int, item func(i int) (key string, value []byte, err error)) error {
	client, err := etcdClient(endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	const writers = 32
	g, gctx := errgroup.WithContext(ctx)
	for w := range writers {
		g.Go(func() error {
			for i := w; i < n; i += writers {
				key, value, err := item(i)
				if err != nil {
					return err
				}
				if _, err := client.Put(gctx, key, string(value)); err != nil {
					return fmt.Errorf("writing %s to etcd: %w", key, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}
