package schemas_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

const clusterUID = "eb84b22b-5d08-5221-9cdb-7ebf91163364"

// TestIDs fixes the bytes: an id that changes would index every old record again.
func TestIDs(t *testing.T) {
	require.Equal(t, clusterUID+"/0/ca1cd404/679", schemas.EventID(clusterUID, 0, "ca1cd404", "679"))
	require.Equal(t, clusterUID+"/fb07/main/containerd://7d1f/terminated/OOMKilled",
		schemas.ContainerID(clusterUID, "fb07", "main", "containerd://7d1f", "terminated", "OOMKilled"))
	require.Equal(t, clusterUID+"/2/gap/events/11870", schemas.GapID(clusterUID, 2, schemas.SourceEvents, "11870"))
	require.Equal(t, "gap/events", schemas.GapKey(schemas.SourceEvents))
	require.Equal(t, "29783c47bc58578d92306a6f123bb501",
		schemas.Fingerprint("crash-loop", map[string]string{"workload": "Deployment/crashy", "namespace": "shop"}))
	require.Equal(t, "shop/29783c47bc58578d92306a6f123bb501/dmzydnmb0r28/2",
		schemas.AlertID("shop", "29783c47bc58578d92306a6f123bb501", time.Date(2026, 11, 20, 10, 7, 2, 0, time.UTC), 2))
	require.Equal(t, "shop/f", schemas.AlertStateKey("shop", "f"))
	require.Equal(t, "a/r", schemas.NotificationKey("a", "r"))
	require.Equal(t, "events", schemas.CheckpointKey(schemas.SourceEvents))
	require.Equal(t, "recording/ab12", schemas.RecordingKey("ab12"))
	require.Equal(t, "containers/u", schemas.ObjectStateKey(schemas.SourceContainers, "u"))
}

// TestIDsDiffer changes one part at a time: each makes another id.
func TestIDsDiffer(t *testing.T) {
	ids := []string{
		schemas.EventID("c", 0, "o", "1"), schemas.EventID("d", 0, "o", "1"), schemas.EventID("c", 1, "o", "1"),
		schemas.EventID("c", 0, "p", "1"), schemas.EventID("c", 0, "o", "2"), schemas.EventID("c", 0, "o", "11"), schemas.EventID("c", 1, "1", "1"),
		schemas.GapID("c", 0, "events", "1"), schemas.GapID("c", 0, "pods", "1"), schemas.GapID("c", 1, "events", "1"), schemas.GapID("c", 0, "events", "2"),
		schemas.ContainerID("c", "p", "m", "0", "waiting", "R"), schemas.ContainerID("c", "p", "m", "1", "waiting", "R"),
		schemas.ContainerID("c", "p", "n", "0", "waiting", "R"), schemas.ContainerID("c", "q", "m", "0", "waiting", "R"),
		schemas.ContainerID("c", "p", "m", "0", "terminated", "R"), schemas.ContainerID("c", "p", "m", "0", "waiting", "S"),
		schemas.ContainerID("c", "p", "m", "containerd://0", "waiting", "R"), schemas.ContainerID("c", "p", "m", "containerd://0", "waiting", "a/b"),
	}
	seen := map[string]int{}
	for i, id := range ids {
		j, twice := seen[id]
		require.False(t, twice, "%d and %d are both %s", i, j, id)
		seen[id] = i
	}
}

func TestRecordingClusterUID(t *testing.T) {
	ns := uuid.NewSHA1(uuid.NameSpaceDNS, []byte("kubescribe"))
	for _, name := range []string{"shop", "", "a-very-long-name-of-a-cluster"} {
		require.Equal(t, uuid.NewSHA1(ns, []byte(name)).String(), schemas.RecordingClusterUID(name))
	}
	require.Equal(t, clusterUID, schemas.RecordingClusterUID("shop"), "it must never change")
}

func TestFingerprint(t *testing.T) {
	prints := map[string]string{}
	for name, group := range map[string]map[string]string{
		"none":            nil,
		"empty value":     {"a": ""},
		"one":             {"a": "b"},
		"swapped":         {"b": "a"},
		"two":             {"a": "b", "c": "d"},
		"joined values":   {"a": "bc", "": "d"},
		"value like form": {"a": "b1:c1:d"},
	} {
		f := schemas.Fingerprint("r", group)
		require.Len(t, f, 32)
		require.Empty(t, prints[f], "%s and %s", name, prints[f])
		prints[f] = name
	}
	require.NotEqual(t, schemas.Fingerprint("r", nil), schemas.Fingerprint("s", nil))
	require.Equal(t, schemas.Fingerprint("r", nil), schemas.Fingerprint("r", map[string]string{}))
}

func TestAlertIDDiffers(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 7, 2, 0, time.UTC)
	id := schemas.AlertID("c", "f", at, 0)
	require.NotEqual(t, id, schemas.AlertID("c", "f", at, 1))
	require.NotEqual(t, id, schemas.AlertID("c", "f", at.Add(time.Nanosecond), 0))
	require.NotEqual(t, id, schemas.AlertID("d", "f", at, 0))
	require.Equal(t, id, schemas.AlertID("c", "f", at.In(time.FixedZone("", 3600)), 0), "the zone is no part of an instant")
}

func TestSubjectKey(t *testing.T) {
	for want, s := range map[string]schemas.Subject{
		"/Pod/shop/front-1":                 {APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "front-1", UID: "u", ResourceVersion: "7"},
		"apps/Deployment/shop/front":        {APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "front"},
		"/Node//node-1":                     {APIVersion: "v1", Kind: "Node", Name: "node-1", UID: "node-1"},
		"/Node/node-1/":                     {APIVersion: "v1", Kind: "Node", Namespace: "node-1"},
		"///":                               {},
		"example.com/Postgres/shop/orders":  {APIVersion: "example.com/v1beta1", Kind: "Postgres", Namespace: "shop", Name: "orders"},
		"autoscaling/HorizontalPod/shop/hp": {APIVersion: "autoscaling/v2", Kind: "HorizontalPod", Namespace: "shop", Name: "hp"},
	} {
		require.Equal(t, want, s.Key())
	}
	node := schemas.Subject{APIVersion: "v1", Kind: "Node", Name: "node-1", UID: "efd1d829"}
	byKubelet := node
	byKubelet.UID = "node-1" // the kubelet gives the node's name as its UID
	require.Equal(t, node.Key(), byKubelet.Key())
	older := schemas.Subject{APIVersion: "apps/v1beta1", Kind: "Deployment", Namespace: "s", Name: "f"}
	newer := older
	newer.APIVersion = "apps/v1"
	require.Equal(t, older.Key(), newer.Key(), "the version is no part of an object's identity")
}
