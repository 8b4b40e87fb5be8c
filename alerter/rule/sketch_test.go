package rule

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

// drawn is what a sketch must show of a document.
func drawn(d *schemas.Document) Env {
	e := NewEnv(d)
	return Env{
		Cluster: e.Cluster, EventType: e.EventType, Class: e.Class, Namespace: e.Namespace, Kind: e.Kind, Name: e.Name, Object: e.Object,
		Reason: e.Reason, Type: e.Type, Message: e.Message, Count: e.Count, Occurrences: e.Occurrences, Workload: e.Workload,
	}
}

func TestSketchIsWhatDecodingGives(t *testing.T) {
	files, err := filepath.Glob("../../schemas/testdata/v1/document.*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	texts := []string{
		`{"event":{"action":"Only\u0041ction"},"log":{"level":"info"},"orchestrator":{"namespace":"o"},"kubernetes":{"pod":{"name":"p"}},"kubescribe":{"occurrences":0}}`,
		`{"log":{},"kubernetes":{"event":null,"pod":null},"message":"\"quoted\\","kubescribe":null}`,
		` { "kubernetes" : { "event" : { "reason" : "" , "type" : "Normal", "count": 12 } , "labels" : { "a}" : "{" } } , "event": {"type": ["a", "]"], "action": "B"} } `,
		`{"message":"` + "\xff" + `","kubescribe":{"occurrences":null,"type":"gap"}}`,
		`{"kubernetes":{"event":{"involved_object":{"kind":"Pod","name":"p"}}},"kubescribe":{"workload":null}}`,
		`{"kubescribe":{"workload":{"api_version":"apps/v1","kind":"Deployment","name":"web"},"owners":[{"kind":"ReplicaSet","name":"web-1"}]}}`,
		`{}`, `null`,
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		texts = append(texts, string(b))
	}
	for _, text := range texts {
		var d schemas.Document
		require.NoError(t, json.Unmarshal([]byte(text), &d), text)
		var e Env
		if text != "null" {
			require.True(t, sketch([]byte(text), &e), text)
			assert.Equal(t, drawn(&d), e, text)
		}
		for cut := range len(text) {
			if sketch([]byte(text[:cut]), &e) {
				assert.JSONEq(t, text[:cut], text, "what is cut off is no document")
			}
		}
	}
}

func TestSketchLeavesTheStrangeToTheDecoder(t *testing.T) {
	for _, text := range []string{``, `[]`, `5`, `{"message":5}`, `{"kubernetes":[]}`, `{"a":}`, `{"a" 1}`, `{"a":1,}`, `{"a":1}}`, `{"message":"\x"}`, `{"kubescribe":{"owners":[]}}`, `{"kubescribe":{"workload":"web"}}`, `{"kubescribe":{"occurrences":1.5}}`} {
		assert.False(t, sketch([]byte(text), &Env{}), text)
	}
}

func TestNecessary(t *testing.T) {
	e := &Env{Reason: "x", Kind: "Pod", Name: "web-1", Count: 4, Message: "took 15s"}
	for text, want := range map[string]struct {
		tests int
		met   bool
	}{
		`reason == "x" and count > 3 and message matches "a.*b"`: {3, false},
		`"x" == reason and 3 < count and message matches "k 1"`:  {3, true},
		`reason != "x" && labels.app == "y" && count > 3`:        {2, false},
		`reason == "x" or labels.app == "y"`:                     {0, true},
		`(reason == "x" or count == 1) and node == "n"`:          {1, true},
		`not (reason == "y" and count >= 4) and count <= 4`:      {2, true},
		`not (reason == "x" and node == "n")`:                    {0, true},
		`kind in ["Pod"] and not (kind in ["Node", "Pod"])`:      {2, false},
		`name startsWith "web" and name endsWith "2"`:            {2, false},
		`name matches "^web-\\d$" and name matches "^(web|db)-"`: {2, true},
		`name matches "^a|b" and name contains "b-"`:             {2, true},
		`name matches "^(a|-)"`:                                  {1, false},
		`normalise(message) == "x"`:                              {0, true},
		`workload.kind == "Deployment" and workload.name != "x"`: {2, false},
		`service == "web" and labels["app"] == "x"`:              {0, true},
		`$env.reason == "y"`:                                     {0, true},
		`(let n = count; n > 9)`:                                 {0, true},
	} {
		tests := necessary(text)
		assert.Len(t, tests, want.tests, text)
		c := &condition{rule: &Rule{}, necessary: tests}
		assert.Equal(t, want.met, !c.excluded(e), text)
	}
}

// FuzzSketch compares with the decoder what both accept.
func FuzzSketch(f *testing.F) {
	files, err := filepath.Glob("../../schemas/testdata/v1/document.*.json")
	require.NoError(f, err)
	for _, path := range files {
		b, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var e Env
		if !sketch(value, &e) {
			return
		}
		d, err := schemas.DecodeDocument(value)
		if err != nil {
			return
		}
		again, err := d.Encode() // without the repeated and oddly written keys that the decoder accepts
		if err != nil {
			return
		}
		if !sketch(again, &e) {
			t.Fatalf("can't read what was written: %s", again)
		}
		if want := drawn(d); want.Message != e.Message || want.Reason != e.Reason || want.Kind != e.Kind || want.Type != e.Type ||
			want.Occurrences != e.Occurrences || want.Count != e.Count || want.Namespace != e.Namespace || want.Object != e.Object || want.Workload != e.Workload {
			t.Fatalf("%s\nwant %+v\ngot  %+v", again, want, e)
		}
	})
}
