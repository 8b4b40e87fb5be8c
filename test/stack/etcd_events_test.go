package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
)

// startEtcd starts the control plane's etcd alone.
func startEtcd(t *testing.T) (*Kubernetes, *component) {
	Need(t, PartKubernetes)
	k, err := newKubernetes(t.TempDir())
	require.NoError(t, err)
	ports, err := newPorts(kubernetesPorts...)
	require.NoError(t, err)
	require.NoError(t, k.assemble(ports))
	require.NoError(t, k.writeFiles())
	client, err := k.httpClient()
	require.NoError(t, err)
	require.NoError(t, k.components[0].run(testContext(t, time.Minute), client))
	t.Cleanup(func() { require.NoError(t, k.components[0].kill()) })
	return k, k.components[0]
}

// putEvent stores an Event as the API server does: under its key, in protobuf.
func putEvent(ctx context.Context, client *clientv3.Client, name string, count int32) error {
	event := &corev1.Event{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-of-" + name)},
		Count:      count,
	}
	var b bytes.Buffer
	if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(event, &b); err != nil {
		return err
	}
	_, err := client.Put(ctx, EventsPrefix+"ns/"+name, b.String())
	return err
}

func TestWatchEventsMissesNothingOverKillsOfEtcd(t *testing.T) {
	k, etcd := startEtcd(t)
	ctx := testContext(t, 2*time.Minute)
	client, err := etcdClient(k.EtcdEndpoint)
	require.NoError(t, err)
	defer client.Close()

	var seen []EventRevision
	drain, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- WatchEvents(ctx, k.EtcdEndpoint, 1, drain, func(r EventRevision) error {
			seen = append(seen, r)
			return nil
		}, func(int64) error { return nil })
	}()

	written := make(chan error, 1)
	go func() {
		for i := range 3000 {
			for { // a put whose answer was lost is put again: that makes one revision more
				attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
				err := putEvent(attempt, client, fmt.Sprint("e", i%500), int32(i))
				cancel()
				if err == nil {
					break
				}
				if ctx.Err() != nil {
					written <- ctx.Err()
					return
				}
			}
		}
		written <- nil
	}()
	web, err := k.httpClient()
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, etcd.kill())
		require.NoError(t, etcd.run(ctx, web))
		select {
		case err := <-written:
			require.NoError(t, err)
			t.Fatal("all was written before the kills were over: they proved nothing")
		case <-time.After(100 * time.Millisecond): // let some more be written between the kills
		}
	}
	require.NoError(t, <-written)
	close(drain)
	require.NoError(t, <-ended)

	// etcd counts the revisions of a key by itself: that is what must have been seen.
	got, err := client.Get(ctx, EventsPrefix, clientv3.WithPrefix())
	require.NoError(t, err)
	require.Len(t, got.Kvs, 500)
	perKey, last := map[string]int64{}, int64(0)
	for _, r := range seen {
		require.Greater(t, r.ModRevision, last)
		require.Equal(t, "uid-of-"+r.Name, r.UID)
		perKey[r.Key]++
		last = r.ModRevision
	}
	total := int64(0)
	for _, kv := range got.Kvs {
		require.Equal(t, kv.Version, perKey[string(kv.Key)], "revisions of %s", kv.Key)
		total += kv.Version
	}
	require.GreaterOrEqual(t, total, int64(3000))
	require.Len(t, seen, int(total))

	list, err := EventsInEtcd(ctx, k.EtcdEndpoint)
	require.NoError(t, err)
	require.Len(t, list, 500)
	for i, kv := range got.Kvs {
		require.Equal(t, kv.ModRevision, list[i].ModRevision)
		require.Equal(t, string(kv.Key), list[i].Key)
	}
}

func TestWatchEventsTellsDeletionsAndFailsOnCompaction(t *testing.T) {
	k, _ := startEtcd(t)
	ctx := testContext(t, time.Minute)
	client, err := etcdClient(k.EtcdEndpoint)
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, putEvent(ctx, client, "a", 1))
	require.NoError(t, putEvent(ctx, client, "b", 1))
	_, err = client.Delete(ctx, EventsPrefix+"ns/a")
	require.NoError(t, err)

	watch := func(from int64) (seen []EventRevision, told int64, err error) {
		drain := make(chan struct{})
		close(drain)
		err = WatchEvents(ctx, k.EtcdEndpoint, from, drain, func(r EventRevision) error {
			seen = append(seen, r)
			return nil
		}, func(revision int64) error {
			told = revision
			return nil
		})
		return seen, told, err
	}
	seen, told, err := watch(1)
	require.NoError(t, err)
	require.Equal(t, []EventRevision{
		{Key: EventsPrefix + "ns/a", Namespace: "ns", Name: "a", UID: "uid-of-a", ModRevision: 2},
		{Key: EventsPrefix + "ns/b", Namespace: "ns", Name: "b", UID: "uid-of-b", ModRevision: 3},
		{Key: EventsPrefix + "ns/a", Namespace: "ns", Name: "a", UID: "uid-of-a", ModRevision: 4, Deleted: true},
	}, seen)
	require.EqualValues(t, 4, told)

	seen, told, err = watch(0) // what is there now
	require.NoError(t, err)
	require.Len(t, seen, 1)
	require.Equal(t, "3", seen[0].ResourceVersion())
	require.EqualValues(t, 4, told)

	at, err := CompactEtcd(ctx, k.EtcdEndpoint)
	require.NoError(t, err)
	_, _, err = watch(2)
	var compacted *CompactedError
	require.ErrorAs(t, err, &compacted)
	require.Equal(t, CompactedError{Asked: 2, Oldest: at}, *compacted)
}

func TestWatchEventsPassesOnACallersError(t *testing.T) {
	k, _ := startEtcd(t)
	ctx := testContext(t, time.Minute)
	client, err := etcdClient(k.EtcdEndpoint)
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, putEvent(ctx, client, "a", 1))
	full := errors.New("disk full")
	err = WatchEvents(ctx, k.EtcdEndpoint, 1, nil, func(EventRevision) error { return full }, func(int64) error { return nil })
	require.ErrorIs(t, err, full)

	_, err = client.Put(ctx, EventsPrefix+"ns/broken", "no event")
	require.NoError(t, err)
	_, err = EventsInEtcd(ctx, k.EtcdEndpoint)
	require.ErrorContains(t, err, EventsPrefix+"ns/broken at revision 3")
}
