package enricher

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

// What the scanner understands, encoding/json understands alike.
func sameObservation(tb testing.TB, b []byte) (understood bool) {
	tb.Helper()
	got := new(schemas.Observation)
	s := scanner{b: b}
	s.observation(got)
	if !s.end() {
		return false
	}
	want := new(schemas.Observation)
	require.NoError(tb, json.Unmarshal(b, want), "%q", b)
	require.Equal(tb, want, got, "%q", b)
	return true
}

func sameEvent(tb testing.TB, b []byte) (understood bool) {
	tb.Helper()
	got := new(event)
	s := scanner{b: b}
	s.event(got)
	if !s.end() {
		return false
	}
	want := new(event)
	require.NoError(tb, json.Unmarshal(b, want), "%q", b)
	require.Equal(tb, want, got, "%q", b)
	return true
}

func TestScannerUnderstandsWhatIsRecorded(t *testing.T) {
	for _, o := range recording(t) {
		b, err := json.Marshal(o)
		require.NoError(t, err)
		require.True(t, sameObservation(t, b))
		require.True(t, sameEvent(t, o.Payload))
	}
	v1, err := filepath.Glob(filepath.Join("..", "schemas", "testdata", "v1", "observation*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, v1)
	for _, path := range v1 {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, sameObservation(t, b), path)
	}
}

var scannerCases = []string{
	``, `null`, `{}`, ` { } `, `{"id":"a","id":"b"}`, `{"id":null,"occurrences":3,"occurrences":null}`, `{"occurrences":0}`,
	`{"series":{"count":1},"series":{"lastObservedTime":null}}`, `{"related":{"kind":"a"},"related":null}`, `{"related":{"kind":"a"},"related":{"name":"b"}}`,
	`{"message":"caf\u00e9 \ud83d\ude00 \n","reason":"x"}`, "{\"message\":\"\xff\"}", `{"message":"\ud800"}`, `{"Message":"x"}`, `{"MESSAGE":"x","kind":"Event"}`,
	`{"count":1.0}`, `{"count":1e2}`, `{"count":-0}`, `{"count":01}`, `{"count":9223372036854775808}`, `{"count":"1"}`, `{"unknown":[1,{"a":[]},-1.5e+3,true,false,null,"\u12"]}`,
	`{"unknown":[1,{"a":[]},-1.5e+3,true,false,null,"\u1234"]}`, `{"a":[1,]}`, `{"a":1,}`, `{"a":truth}`, `{"firstTimestamp":"2026-11-20T10:06:36Z"}`, `{"firstTimestamp":"x"}`,
	`{"payload":{"a":1} ,"time":"2026-11-20T10:06:36.1234567+01:00","timeAdjusted":true}`, `{"payload": null}`, `{"timeAdjusted":null}`, `{"id":"a"} x`, `{"id":"\t"}`, "{\"id\":\"\t\"}",
	`{"payload":` + strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100) + `}`, `{"mess\u0061ge":"x"}`, `{"metadata":{"name":"n","annotations":{"a":"b"}},"source":null}`,
	"{\"\u212aind\":1}", `{"metadata":5}`, `[]`, `"x"`, `{"a"`, `{"a":`, `{"a":"`, `{"count":-}`, `{"x":1.}`, `{"x":1e}`, `{"x":.5}`,
}

func TestScannerAgreesWithEncodingJSON(t *testing.T) {
	for _, in := range scannerCases {
		sameObservation(t, []byte(in))
		sameEvent(t, []byte(in))
	}
	for _, in := range []string{`{}`, `{"id":null,"occurrences":3,"occurrences":null}`, `{"message":"caf\u00e9 \ud83d\ude00 \n","reason":"x"}`} {
		require.True(t, sameEvent(t, []byte(in)), in)
	}
}

// What it does not understand is decoded all the same, or refused with the reason.
func TestDecodersFallBack(t *testing.T) {
	e, err := decodeEvent([]byte(`{"REASON":"x","m\u0065ssage":"y"}`))
	require.NoError(t, err)
	require.Equal(t, "x", e.Reason)
	require.Equal(t, "y", e.Message)
	_, err = decodeEvent([]byte(`{"reason":5}`))
	require.ErrorContains(t, err, "reason")
	_, err = decodeObservation([]byte(`{"id":"x"}`))
	require.ErrorContains(t, err, "type: is missing")
}

func FuzzScanner(f *testing.F) {
	for _, in := range scannerCases {
		f.Add([]byte(in))
	}
	for _, o := range recording(f)[:5] {
		b, err := json.Marshal(o)
		require.NoError(f, err)
		f.Add(b)
		f.Add([]byte(o.Payload))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sameObservation(t, b)
		sameEvent(t, b)
	})
}
