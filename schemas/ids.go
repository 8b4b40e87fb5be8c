package schemas

import (
	"crypto/sha1" //nolint:gosec // UUIDv5 is defined over SHA-1; nothing here is secret.
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxIDBytes is Elasticsearch's limit for an _id.
const MaxIDBytes = 512

// EventID is the identity of one revision of an Event. resourceVersion orders revisions of one resource within an epoch.
func EventID(clusterUID string, epoch int64, objectUID, resourceVersion string) string {
	return join(clusterUID, strconv.FormatInt(epoch, 10), objectUID, resourceVersion)
}

// ContainerID is the identity of one container's transition. instance is the container's runtime id, or its restart
// count when it has none; state is "terminated" or "waiting". Only instance ("containerd://…") and reason, on either side of
// the fixed set of states, may hold a '/', so that two transitions never share an id.
func ContainerID(clusterUID, podUID, container, instance, state, reason string) string {
	return join(clusterUID, podUID, container, instance, state, reason)
}

// GapID is the identity of a gap: one for each list that ended one.
func GapID(clusterUID string, epoch int64, source Source, listRV string) string {
	return join(clusterUID, strconv.FormatInt(epoch, 10), "gap", string(source), listRV)
}

// GapKey is the key of a gap record in events.<c> and enriched.<c>.
func GapKey(source Source) string { return join("gap", string(source)) }

// Key is the key of a record about s: group/kind/namespace/name. The UID is left out, because components disagree on
// a node's UID; empty parts stay, so that two subjects with valid names (without '/') never share a key.
func (s Subject) Key() string {
	group, _, found := strings.Cut(s.APIVersion, "/")
	if !found {
		group = "" // the core group: "v1"
	}
	return join(group, s.Kind, s.Namespace, s.Name)
}

// RecordingClusterUID is the cluster UID of a recording that names none: a UUIDv5 of the cluster's name.
func RecordingClusterUID(name string) string {
	// The namespace is UUIDv5(DNS, "kubescribe"), written out so that it can never change.
	ns := [16]byte{0x20, 0xf2, 0x59, 0x54, 0x1b, 0xd8, 0x51, 0xe7, 0x88, 0x1b, 0xf2, 0xf7, 0xed, 0xec, 0xad, 0x97}
	h := sha1.New() //nolint:gosec // see the import
	h.Write(ns[:])
	h.Write([]byte(name))
	u := h.Sum(nil)[:16]
	u[6], u[8] = u[6]&0x0f|0x50, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// Fingerprint is the identity of an alert's group: the rule's name and the values of its group labels.
// It is 32 hexadecimal digits and does not depend on the order of labels.
func Fingerprint(rule string, group map[string]string) string {
	h := sha256.New()
	part := func(s string) { fmt.Fprintf(h, "%d:%s", len(s), s) }
	part(rule)
	for _, k := range slices.Sorted(maps.Keys(group)) {
		part(k)
		part(group[k])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// AlertID is the identity of one Alert record, and the idempotency key of its delivery: the cluster, the group, when
// the alert started, and its how-many-eth record since then (0 is firing).
func AlertID(cluster, fingerprint string, startsAt time.Time, seq int64) string {
	return join(cluster, fingerprint, strconv.FormatInt(startsAt.UnixNano(), 36), strconv.FormatInt(seq, 10))
}

func join(parts ...string) string { return strings.Join(parts, "/") }
