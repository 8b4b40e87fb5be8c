package contract

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kubescribe/enricher"
	"kubescribe/producer"
	"kubescribe/schemas"
)

// TestRecordingFitsTheSchemas sends every line of a real watch to a document: each stage accepts what the one before it
// wrote, each value fits its JSON Schema, and no two revisions share an id.
func TestRecordingFitsTheSchemas(t *testing.T) {
	f, err := os.Open("../../testdata/recordings/kwok-shop.ndjson")
	require.NoError(t, err)
	defer f.Close()
	observation, document := compile(t, "observation"), compile(t, "document")
	ids := map[string]int{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for n := 1; lines.Scan(); n++ {
		var event struct{ Object json.RawMessage }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &event), "line %d", n)
		o, err := producer.FromJSON(event.Object, cluster, 0, time.Time{})
		require.NoError(t, err, "line %d", n)
		require.Zero(t, ids[o.ID], "lines %d and %d have one id", ids[o.ID], n)
		ids[o.ID] = n
		value, err := schemas.Encode(o)
		require.NoError(t, err)
		require.NoError(t, valid(observation, value), "line %d", n)

		read, err := schemas.DecodeObservation(value)
		require.NoError(t, err, "line %d", n)
		d, err := enricher.Enrich(read, enricher.Recorded{}.Lookup(t.Context(), read.Subject, read.ObservedAt), enricher.Fields{})
		require.NoError(t, err, "line %d", n)
		value, err = d.Encode()
		require.NoError(t, err)
		require.NoError(t, valid(document, value), "line %d", n)
		_, err = schemas.DecodeDocument(value)
		require.NoError(t, err, "line %d", n)
	}
	require.NoError(t, lines.Err())
	require.Greater(t, len(ids), 500)
}
