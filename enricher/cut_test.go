package enricher

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

func TestTextIsCutBetweenCharacters(t *testing.T) {
	for in, want := range map[string]string{
		"":                "",
		"12345678":        "12345678",
		"123456789":       "12345678",
		"1234567é":        "1234567",
		"123456é":         "123456é",
		"12345\U0001F600": "12345",
		"1234\U0001F600":  "1234\U0001F600",
		"a\xffb":          "a\uFFFDb",
		"1234567\xff":     "1234567",
		"\xff\xff\xff":    "\uFFFD",
		"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80": "\uFFFD",
	} {
		var c cutter
		got := c.text("f", in, 8)
		require.Equal(t, want, got, "%q", in)
		require.Equal(t, len(in) > 8 || in == "1234567\xff", len(c.fields) > 0, "%q", in)
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\xff\xfe", 3)
	f.Add(strings.Repeat("é", 9), 5)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 0 || limit > 1<<20 {
			return
		}
		var c cutter
		got := c.text("f", s, limit)
		if len(got) > limit || !utf8.ValidString(got) {
			t.Fatalf("%q cut to %d: %q", s, limit, got)
		}
		if utf8.ValidString(s) && !strings.HasPrefix(s, got) {
			t.Fatalf("%q is no prefix of %q", got, s)
		}
	})
}

func TestLabelsAreBounded(t *testing.T) {
	var c cutter
	small := map[string]string{"a": "1", "b": "2"}
	require.Equal(t, small, c.labels("l", small))
	require.Nil(t, c.labels("l", nil))
	require.Empty(t, c.fields)

	// One value up to the limit of a term, key included.
	out := c.labels("l", map[string]string{"key": strings.Repeat("v", MaxLabelBytes), "other": "x"})
	require.Len(t, out["key"], MaxLabelBytes-len("key"))
	require.Equal(t, "x", out["other"])
	require.Equal(t, []string{"l"}, c.fields)

	// Many small ones: those that fit, the same each time.
	c = cutter{}
	many := map[string]string{}
	for i := range 10_000 {
		many[fmt.Sprintf("label-%05d", i)] = "some value"
	}
	out = c.labels("l", many)
	require.Contains(t, out, "label-00000")
	require.NotContains(t, out, "label-09999")
	total := 0
	for k, v := range out {
		total += len(k) + len(v)
	}
	require.LessOrEqual(t, total, MaxLabelsBytes)
	require.Greater(t, total, MaxLabelsBytes-100)
	require.Equal(t, out, c.labels("l", many))
	require.Equal(t, []string{"l"}, c.fields)

	// Keys that are too long or no text are left out.
	c = cutter{}
	require.Equal(t, map[string]string{"ok": "\uFFFD"}, c.labels("l", map[string]string{strings.Repeat("k", MaxNameBytes+1): "v", "\xff": "v", "ok": "\xff"}))
}

// The worst that a cluster can say stays below the limit of a record, and the document says what was cut.
func TestTheLargestDocumentFits(t *testing.T) {
	bad := strings.Repeat("\x01", 1<<20) // encoded, each becomes six bytes
	labels := map[string]string{}
	for i := range 10_000 {
		labels[fmt.Sprintf("\x01\x01\x01\x01%06d", i)] = bad[:200]
	}
	e := map[string]any{
		"metadata":       map[string]any{"name": bad, "namespace": bad, "uid": bad, "resourceVersion": bad},
		"involvedObject": map[string]any{}, "related": map[string]any{"kind": bad, "name": bad, "fieldPath": bad},
		"reason": bad, "message": bad, "type": bad, "source": map[string]any{"component": bad, "host": bad},
	}
	payload, err := json.Marshal(e)
	require.NoError(t, err)
	o := recording(t)[0]
	o.Payload = payload
	o.Subject = schemas.Subject{APIVersion: bad, Kind: bad, Namespace: bad, Name: bad, UID: bad, FieldPath: "spec.containers{" + bad + "}", ResourceVersion: bad}
	owner := schemas.Owner{APIVersion: bad, Kind: bad, Name: bad, UID: bad}
	object := Object{Found: true, Status: schemas.EnrichmentComplete, Labels: labels, Annotations: labels, UID: bad}
	object.Labels["app"] = bad
	object.NamespaceLabels, object.Node = labels, &Node{Name: bad, UID: bad, Labels: map[string]string{"pool": bad, zoneLabels[0]: bad}, Ready: bad}
	for range 200 {
		object.Services, object.Node.Conditions = append(object.Services, bad), append(object.Node.Conditions, bad)
	}
	object.Services = object.Services[:maxServices]
	object.Volume = &schemas.VolumeState{Phase: bad, StorageClass: bad, Capacity: bad, ClaimNamespace: bad, Claim: bad}
	many := slices.Repeat([]string{bad}, maxImages)
	object.Revisions = []Revision{{Number: 1, Images: many}, {Number: 2, Images: many}}
	for range maxOwners {
		object.Owners = append(object.Owners, owner)
	}
	d, err := Enrich(o, object, Fields{ServiceLabels: []string{"app"}, NodePoolLabels: []string{"pool"}, KeepOriginal: true})
	require.NoError(t, err)
	require.NoError(t, d.Validate())
	require.Len(t, d.Message, MaxMessageBytes)
	require.Len(t, d.Event.Original, MaxOriginalBytes)
	b, err := encode(d)
	require.NoError(t, err)
	require.Less(t, len(b), MaxDocumentBytes)
	require.Less(t, len(d.Message), MaxMessageBytes, "of control characters less is kept")
	for _, f := range []string{
		"message", "event.action", "event.original", "event.provider", "service.name", "kubernetes.labels", "kubernetes.annotations",
		"kubernetes.event.type", "kubernetes.event.source", "kubernetes.event.metadata", "kubernetes.event.involved_object", "kubescribe.owners",
		"kubernetes.namespace_labels", "kubescribe.node", "kubescribe.services", "kubescribe.rollout", "cloud",
	} {
		require.Contains(t, d.Kubescribe.Truncated, f)
	}
}

func TestInvalidTextIsReplaced(t *testing.T) {
	o := recording(t)[0]
	o.Payload = []byte("{\"message\":\"bad \xff\xfe text\",\"reason\":\"R\\ud800\"}")
	d, err := Enrich(o, Object{}, fields())
	require.NoError(t, err)
	require.Equal(t, "bad \uFFFD\uFFFD text", d.Message)
	require.Equal(t, "R\uFFFD", d.Event.Action)
	b, err := d.Encode()
	require.NoError(t, err)
	require.True(t, utf8.Valid(b))
}
