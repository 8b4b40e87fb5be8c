package store_test

import (
	"math/rand/v2"
	"sort"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/store"
	"kubescribe/internal/store/storetest"
	"kubescribe/schemas"
)

// conditions are one of every sort; with what the corpus has, each finds something.
var conditions = []string{
	`reason:BackOff`, `reason:(BackOff or Killing)`, `namespace:ns-*`, `namespace:*`, `namespace:"ns-1"`, `event.action:Pulled`, `kind:Node`,
	`name:web-1*`, `name:*-33`, `name:w*b-*7`, `kubernetes.pod.name:web-5*`, `kubernetes.pod.name:*`, `fact:gap`, `service:web`, `type:Warning`,
	`id:cluster-uid/1/event-uid-17/1017`, `id:*-17/*`, `event.type:error`, `workload:*`, `node:node-1`, `level:warning`, `ecs.version:8.*`,
	`count >= 5`, `count:3`, `count:(1 or 2 or 7)`, `count < 2`, `count > 7`, `count <= 1`, `kubescribe.occurrences:1`,
	`label.app:app-1`, `label.app:app*`, `label.app:(app-0 or app-3)`, `label.team:*`, `label.team:"a*b?[c]"`, `label.app.kubernetes.io/name:web`,
	`kubernetes.labels.app:app-2`, `label.team:a\*b\?\[*`,
	`image`, `BACK`, `message:failed`, `message:(failed or snake_case)`, `"pulling image"`, `"Back-off restarting"`, `restart*`, `message:pull*`,
	`不足`, `größe`, `"メモリ不足 oom"`,
	`cluster:c1`, `class:(normal or audit_x)`, `class:a*`,
}

// expressions asks a store that holds docs, and compares with an evaluation in plain Go.
func expressions(t *testing.T, s opened, docs []*schemas.Document) {
	bodies := map[string][]byte{}
	for _, d := range docs {
		bodies[d.Event.ID] = storetest.Item(d).Body
	}
	ask := func(t *testing.T, text string) (found, want []string) {
		t.Helper()
		e, err := store.ParseExpression(text, origin)
		require.NoError(t, err, text)
		again, err := store.ParseExpression(e.String(), time.Time{})
		require.NoError(t, err, "%s, written as %s", text, e)
		require.Equal(t, e.String(), again.String(), text)
		page, err := s.Search(t.Context(), store.Query{Where: e, Limit: store.MaxLimit})
		require.NoError(t, err, text)
		found, want = ids(page.Hits), []string{}
		for id, body := range bodies {
			if e.Holds(body) {
				want = append(want, id)
			}
		}
		sort.Strings(found)
		sort.Strings(want)
		n, err := s.Count(t.Context(), store.Query{Where: e})
		require.NoError(t, err, text)
		require.EqualValues(t, len(found), n, text)
		return found, want
	}
	for _, text := range append([]string{
		`time >= "` + origin.Add(9*time.Hour+1).Format(time.RFC3339Nano) + `"`, `time < ` + origin.Add(9*time.Hour).Format(time.RFC3339Nano),
		`time:` + origin.Format(time.RFC3339), `time > now-1ns and time <= ` + origin.Add(20*time.Hour).Format(time.RFC3339), `@timestamp >= now-7d`,
	}, conditions...) {
		t.Run(text, func(t *testing.T) {
			found, want := ask(t, text)
			assert.Equal(t, want, found)
			assert.NotEmpty(t, want, "the case itself")
			assert.Less(t, len(want), len(docs)+1)
		})
	}
	t.Run("what is not there", func(t *testing.T) {
		for _, text := range []string{
			`reason:backoff`, `reason:"Back*"`, `time > 2200-01-01`, `count > 100`, `label.nope:*`, `name:web-?`, `name:[w]eb-1`, `exit_code:137`,
			`kubescribe.time_adjusted:true`, `name:"x' OR 1=1 --"`, `namespace:ns-1 and not namespace:*`, `"image pulling"`,
		} {
			found, want := ask(t, text)
			assert.Empty(t, want, text)
			assert.Empty(t, found, text)
		}
	})
	t.Run("whatever is put together", func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 3))
		for range 150 {
			text := store.RandomExpression(r, conditions, 4)
			found, want := ask(t, text)
			require.Equal(t, want, found, text)
		}
	})
	t.Run("with the rest of a query", func(t *testing.T) {
		e, err := store.ParseExpression(`reason:BackOff or count:3`, origin)
		require.NoError(t, err)
		q := store.Query{From: origin.Add(time.Hour), Where: e, Filters: []store.Filter{{Field: "kind", Values: []string{"node"}}}, Text: "image"}
		want := expected(docs, q, func(d *schemas.Document) bool {
			return e.Holds(bodies[d.Event.ID]) && d.Orchestrator.Resource.Type == "node" && (d.Message == messages[1] || d.Message == messages[2])
		})
		require.NotEmpty(t, want)
		assert.Equal(t, want, walk(t, s, q, 3))
	})
}
