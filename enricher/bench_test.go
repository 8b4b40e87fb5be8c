package enricher

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"kubescribe/schemas"
)

// allKnown is Objects that know everything about every pod.
type allKnown struct{ o Object }

func (k allKnown) Lookup(context.Context, schemas.Subject, time.Time) Object { return k.o }

// BenchmarkTransform is the enricher's own part of its work, between two calls to Kafka, with a warm cache: per event.
func BenchmarkTransform(b *testing.B) {
	f, err := Default().fields()
	require.NoError(b, err)
	t := &transformer{
		cluster: "shop", topic: "enriched", fields: f, timeout: time.Second, concurrency: 16, metrics: newMetrics(nil),
		objects: allKnown{Object{
			Found: true, Status: schemas.EnrichmentComplete, UID: "8f3c1e9e-0000-4000-8000-000000000000",
			Labels:          map[string]string{"app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop", "team": "checkout", "pod-template-hash": "798479d4f6"},
			Annotations:     map[string]string{"prometheus.io/scrape": "true", "kubectl.kubernetes.io/restartedAt": "2026-11-20T10:00:00Z"},
			Owners:          []schemas.Owner{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-798479d4f6", UID: "8f3c1e9e-0000-4000-8000-000000000001"}, {APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "8f3c1e9e-0000-4000-8000-000000000002"}},
			OwnerLabels:     []map[string]string{nil, {"team": "checkout"}},
			NamespaceLabels: map[string]string{"kubernetes.io/metadata.name": "shop"},
			Services:        []string{"web"}, Images: []Image{{"main", "registry.example/web:2"}}, OwnRevision: 2,
			Revisions: []Revision{{1, monday, []string{"registry.example/web:1"}}, {2, monday, []string{"registry.example/web:2"}}},
			Node: &Node{Name: "node-1", UID: "8f3c1e9e-0000-4000-8000-000000000003", Ready: "True", Labels: map[string]string{
				"topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r", "node.kubernetes.io/instance-type": "big", "kubernetes.io/hostname": "node-1",
			}},
		}},
	}
	var records []*kgo.Record
	for _, o := range recording(b) {
		o.Cluster.Name = "shop"
		v, err := json.Marshal(o)
		require.NoError(b, err)
		records = append(records, &kgo.Record{Topic: "events", Key: []byte(o.Subject.Key()), Value: v})
	}
	batch := make([]*kgo.Record, 2000)
	for i := range batch {
		batch[i] = records[i%len(records)]
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		out, err := t.transform(b.Context(), batch)
		if err != nil || len(out.Poison) > 0 {
			b.Fatal(err, out.Poison)
		}
		n += len(batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
}
