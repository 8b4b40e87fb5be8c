package capture

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

const pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","managedFields":[{"manager":"x"}],
 "annotations":{"kubectl.kubernetes.io/last-applied-configuration":"PASSWORD","vault.example.com/Secret-path":"PASSWORD","example.com/team":"shop"}},
 "spec":{"nodeName":"n","restartPolicy":"Always","volumes":[{"name":"v","csi":{"volumeAttributes":{"x":"PASSWORD"}}}],
 "initContainers":[{"name":"i","image":"i:1","restartPolicy":"Always","env":[{"name":"A","value":"PASSWORD"}]}],
 "containers":[{"name":"c","image":"c:1","resources":{"limits":{"memory":"1Mi"}},"command":["x","PASSWORD"],"args":["--token=PASSWORD"],
  "env":[{"name":"A","value":"PASSWORD"}],"livenessProbe":{"httpGet":{"httpHeaders":[{"name":"Authorization","value":"PASSWORD"}]}},"lifecycle":{"preStop":{"exec":{"command":["PASSWORD"]}}}}],
 "ephemeralContainers":[{"name":"e","image":"e:1","command":["PASSWORD"]}]},
 "status":{"phase":"Running","containerStatuses":[{"name":"c","state":{"terminated":{"exitCode":1,"message":"out of disk"}}}]}}`

func TestRedact(t *testing.T) {
	for name, wrap := range map[string]func(map[string]any) map[string]any{
		"a pod": func(p map[string]any) map[string]any { return p },
		"a template": func(p map[string]any) map[string]any {
			return map[string]any{"kind": "CronJob", "spec": map[string]any{"jobTemplate": map[string]any{"spec": map[string]any{"template": p}}}}
		},
		"a revision": func(p map[string]any) map[string]any {
			return map[string]any{"kind": "ControllerRevision", "data": map[string]any{"spec": map[string]any{"template": p}}}
		},
		"a list": func(p map[string]any) map[string]any { return map[string]any{"kind": "List", "items": []any{p}} },
	} {
		t.Run(name, func(t *testing.T) {
			var p map[string]any
			require.NoError(t, json.Unmarshal([]byte(pod), &p))
			object := wrap(p)
			Redact(object, DefaultAnnotations())
			b, err := json.Marshal(object)
			require.NoError(t, err)
			require.NotContains(t, string(b), "PASSWORD")
			require.NotContains(t, string(b), "managedFields")
			for _, kept := range []string{`"example.com/team":"shop"`, `"image":"c:1"`, `"memory":"1Mi"`, `"nodeName":"n"`, `"restartPolicy":"Always"`, `"message":"out of disk"`} {
				require.Contains(t, string(b), kept)
			}
		})
	}
}

func TestSecretsAreNoResource(t *testing.T) {
	for _, r := range Resources() {
		require.NotContains(t, []string{"secrets", "configmaps"}, r.Resource)
	}
	require.NoError(t, CheckAnnotations(DefaultAnnotations()))
	require.Error(t, CheckAnnotations([]string{"["}))
}

// TestRecorder: what was flushed can be read though the end never came.
func TestRecorder(t *testing.T) {
	var file bytes.Buffer
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	r, err := NewRecorder(&file, "x.ndjson.zst", func() time.Time { at = at.Add(time.Second); return at })
	require.NoError(t, err)
	require.NoError(t, r.Note("pods", "ADDED", map[string]any{"kind": "Pod"}))
	require.NoError(t, r.Flush())
	flushed := bytes.Clone(file.Bytes())
	require.NoError(t, r.Note("events", "MODIFIED", map[string]any{"kind": "Event"}))
	require.NoError(t, r.Close())

	const first = `{"type":"ADDED","observedAt":"2026-11-20T10:00:01Z","object":{"kind":"Pod"}}` + "\n"
	const second = `{"type":"MODIFIED","observedAt":"2026-11-20T10:00:02Z","object":{"kind":"Event"}}` + "\n"
	require.Equal(t, first+second, unpack(t, file.Bytes()))
	require.Equal(t, first, unpack(t, flushed))
	lines, unpacked, packed := r.Counts()
	require.Equal(t, map[string]int64{"pods": 1, "events": 1}, lines)
	require.EqualValues(t, len(first+second), unpacked)
	require.EqualValues(t, file.Len(), packed)
}

func unpack(t *testing.T, b []byte) string {
	z, err := zstd.NewReader(bytes.NewReader(b))
	require.NoError(t, err)
	defer z.Close()
	var out bytes.Buffer
	_, _ = z.WriteTo(&out) // the end may be missing
	return out.String()
}
