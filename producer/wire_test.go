package producer

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/schemas"
)

// requireSame checks the short way against the long one: whatever the short way takes on, it writes byte for byte the same.
func requireSame(t *testing.T, raw []byte) (plain bool) {
	t.Helper()
	e := scanEvent(raw)
	ev := new(corev1.Event)
	err := ev.Unmarshal(raw)
	if !e.plain {
		return false
	}
	if err != nil && hasManagedFields(raw) {
		return true // the fault is in what the short way passes over
	}
	require.NoError(t, err, "a plain Event can be decoded")
	require.Equal(t, EventTime(ev), e.happened())
	require.Equal(t, string(ev.UID), string(e.uid))
	require.Equal(t, ev.ResourceVersion, string(e.rv))
	if _, err := parseRV(ev.ResourceVersion); err != nil {
		return true // no producer could go on by that
	}
	want, wantErr := encodeTyped(ev, testCluster, 3, noon)
	got, gotErr := encodeWire(&e, testCluster, 3, noon)
	require.Equal(t, wantErr == nil, gotErr == nil, "%v, %v", wantErr, gotErr)
	if wantErr == nil {
		lean := scanEvent(e.appendLean(nil))
		require.True(t, lean.plain)
		small, err := encodeWire(&lean, testCluster, 3, noon)
		require.NoError(t, err)
		require.Equal(t, string(want), string(small), "without managedFields it is the same")
		require.Equal(t, string(want), string(got))
		require.True(t, json.Valid(got))
	}
	return true
}

func hasManagedFields(raw []byte) bool {
	for c := (cursor{b: raw}); ; {
		field, _, _, value, more := c.next()
		if !more {
			return false
		}
		for m := (cursor{b: value}); field == 1; {
			field, _, _, _, more := m.next()
			if !more {
				break
			}
			if field == fieldManagedFields {
				return true
			}
		}
	}
}

func encodeTyped(ev *corev1.Event, c schemas.Cluster, epoch int64, now time.Time) ([]byte, error) {
	o, err := FromEvent(ev, c, epoch, now)
	if err != nil {
		return nil, err
	}
	return schemas.Encode(o)
}

func encodeWire(e *wireEvent, c schemas.Cluster, epoch int64, now time.Time) ([]byte, error) {
	enc := &encoder{topic: "t", cluster: c}
	p, _, err := enc.event(e, epoch, now, nil)
	if err != nil {
		return nil, err
	}
	return p.record.Value, nil
}

func wireSeeds(t testing.TB) (seeds [][]byte) {
	add := func(ev *corev1.Event) {
		b, err := ev.Marshal()
		require.NoError(t, err)
		seeds = append(seeds, b)
	}
	at := metav1.NewTime(time.Date(2026, 11, 20, 10, 7, 2, 0, time.UTC))
	micro := metav1.NewMicroTime(at.Add(123456789))
	add(&corev1.Event{})
	full := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name: "a.1", Namespace: "shop", UID: "ca1cd404-6c5f-4015-8b27-770ee13f65f1", ResourceVersion: "679", CreationTimestamp: at,
			GenerateName: "a.", SelfLink: "/x", Generation: 7, //nolint:staticcheck // old servers set it
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet", FieldsV1: metav1.NewFieldsV1(`{"f:a":{}}`)}},
		},
		InvolvedObject: corev1.ObjectReference{
			Kind: "Pod", Namespace: "shop", Name: "a", UID: "u", APIVersion: "apps/v1", ResourceVersion: "6", FieldPath: "spec.containers{main}",
		},
		Reason: "BackOff", Message: "a \"quoted\" \\ <b>&\n\t\r\b\f\x01\x7f \u2028\u2029 é 語 \U0001F600 \xff\xc3", Source: corev1.EventSource{Component: "kubelet", Host: "n"},
		FirstTimestamp: at, LastTimestamp: at, Count: 3, Type: "Warning", EventTime: micro,
		Series: &corev1.EventSeries{Count: 9, LastObservedTime: micro}, Action: "Act",
		Related:             &corev1.ObjectReference{Kind: "Node", Name: "n"},
		ReportingController: "c", ReportingInstance: "i",
	}
	add(full)
	labelled := full.DeepCopy()
	labelled.Labels = map[string]string{"a": "b"}
	add(labelled)
	bare := full.DeepCopy()
	bare.Series, bare.Related, bare.EventTime, bare.Count = &corev1.EventSeries{}, &corev1.ObjectReference{}, metav1.MicroTime{}, -1
	add(bare)
	require.NoError(t, scanFile(shop, func(e entry) {
		found, _, _ := revisions(e.raw)
		ev, err := decodeEvent(found[0].raw)
		require.NoError(t, err)
		add(ev)
	}))
	return seeds
}

func TestTheShortWayWritesWhatTheLongOneDoes(t *testing.T) {
	t.Parallel()
	seeds, plain := wireSeeds(t), 0
	for i, raw := range seeds {
		if requireSame(t, raw) {
			plain++
		}
		if i > 8 {
			continue
		}
		for cut := range raw { // torn off, and with a byte that is wrong
			requireSame(t, raw[:cut])
			if cut%7 == 0 {
				wrong := append([]byte(nil), raw...)
				wrong[cut] ^= 0x55
				requireSame(t, wrong)
			}
		}
	}
	require.Equal(t, len(seeds)-1, plain, "only labels take the long way")
	e := scanEvent(seeds[1])
	require.NotContains(t, string(e.appendLean(nil)), "f:a")
}

func FuzzWireEvent(f *testing.F) {
	for _, raw := range wireSeeds(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) { requireSame(t, raw) })
}
