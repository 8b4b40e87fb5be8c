package compat_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kubescribe/schemas/internal/compat"
)

const released = `{
  "$id": "urn:x:v1:thing", "title": "Thing", "description": "A thing.", "type": "object", "required": ["id", "part", "parts"],
  "properties": {
    "id": {"type": "string", "minLength": 1},
    "note": {"type": "string"},
    "status": {"type": "string", "enum": ["firing", "resolved"]},
    "count": {"type": "integer", "minimum": 0},
    "part": {"$ref": "#/$defs/Part"},
    "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "fact": true
  },
  "$defs": {"Part": {"type": "object", "required": ["name"], "properties": {
    "name": {"type": "string"}, "next": {"$ref": "#/$defs/Part"}, "weight": {"type": "number"}}}}
}`

func TestBreaks(t *testing.T) {
	for _, c := range []struct {
		name       string
		change, to string // the first is replaced by the second, once
		want       []string
	}{
		{name: "nothing"},
		{name: "a description", change: `"A thing."`, to: `"Another text."`},
		{name: "the id and title", change: `"$id": "urn:x:v1:thing", "title": "Thing"`, to: `"$id": "urn:y", "title": "T"`},
		{name: "a new optional property", change: `"note": {`, to: `"added": {"type": "object"}, "note": {`},
		{name: "a new optional property in a part", change: `"weight"`, to: `"added": true, "weight"`},
		{name: "an inlined definition", change: `"part": {"$ref": "#/$defs/Part"}`, to: `"part": {"type": "object", "required": ["name"], "properties": {
			"name": {"type": "string"}, "next": {"$ref": "#/$defs/Part"}, "weight": {"type": "number"}}}`},
		{name: "the order of an enum", change: `["firing", "resolved"]`, to: `["resolved", "firing"]`},

		{name: "a removed property", change: `"note": {"type": "string"},`, to: ``, want: []string{"note: is removed"}},
		{name: "a renamed property", change: `"note"`, to: `"remark"`, want: []string{"note: is removed"}},
		{name: "a removed property of a part", change: `, "weight": {"type": "number"}`, to: ``, want: []string{"part.weight: is removed"}},
		{name: "a changed type", change: `"note": {"type": "string"}`, to: `"note": {"type": "integer"}`, want: []string{`note: type was "string" and is "integer"`}},
		{name: "a changed type of elements", change: `"items": {"$ref": "#/$defs/Part"}`, to: `"items": {"type": "string"}`, want: []string{"parts[].name: is removed", "parts[].next", "parts[].weight", "parts[].name: is no longer", "parts[]: type"}},
		{name: "a changed type of values", change: `"additionalProperties": {"type": "string"}`, to: `"additionalProperties": {"type": "number"}`, want: []string{"labels.*: type"}},
		{name: "values that are closed", change: `"additionalProperties": {"type": "string"}`, to: `"additionalProperties": false`, want: []string{"labels.*: was map"}},
		{name: "an object that is closed", change: `"type": "object", "required": ["id"`, to: `"additionalProperties": false, "type": "object", "required": ["id"`, want: []string{"(the value): additionalProperties was not there"}},
		{name: "anything that is limited", change: `"fact": true`, to: `"fact": {"type": "object"}`, want: []string{"fact: was true"}},
		{name: "a new required property", change: `["id", "part", "parts"]`, to: `["id", "part", "parts", "note"]`, want: []string{"note: is newly required"}},
		{name: "a new required property of a part", change: `["name"]`, to: `["name", "weight"]`, want: []string{"part.weight: is newly required"}},
		{name: "a property that need not be there", change: `["id", "part", "parts"]`, to: `["part", "parts"]`, want: []string{"id: is no longer required"}},
		{name: "a removed enum value", change: `["firing", "resolved"]`, to: `["firing"]`, want: []string{`status: value "resolved" is removed`}},
		{name: "an added enum value", change: `["firing", "resolved"]`, to: `["firing", "resolved", "muted"]`, want: []string{`status: value "muted" is added`}},
		{name: "a new enum", change: `"note": {"type": "string"}`, to: `"note": {"type": "string", "enum": ["a"]}`, want: []string{"note: is newly limited"}},
		{name: "an enum that is gone", change: `, "enum": ["firing", "resolved"]`, to: ``, want: []string{"status: is no longer limited"}},
		{name: "a tighter bound", change: `"minimum": 0`, to: `"minimum": 1`, want: []string{"count: minimum was 0 and is 1"}},
		{name: "a bound that is gone", change: `, "minLength": 1`, to: ``, want: []string{"id: minLength was 1 and is not there"}},
		{name: "a new format", change: `"note": {"type": "string"}`, to: `"note": {"type": "string", "format": "date-time"}`, want: []string{"note: format"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			current := released
			if c.change != "" {
				require.Contains(t, released, c.change, "the example is wrong")
				current = strings.Replace(released, c.change, c.to, 1)
			}
			breaks, err := compat.Breaks([]byte(released), []byte(current))
			require.NoError(t, err)
			require.Len(t, breaks, len(c.want), "%q", breaks)
			for i, want := range c.want {
				require.Contains(t, breaks[i], want)
			}
		})
	}
}

func TestBreaksRefusesWhatIsNoSchema(t *testing.T) {
	_, err := compat.Breaks([]byte(`{`), []byte(released))
	require.ErrorContains(t, err, "released")
	_, err = compat.Breaks([]byte(released), []byte(`[]`))
	require.ErrorContains(t, err, "current")
	_, err = compat.Breaks([]byte(released), []byte(strings.Replace(released, `"$defs": {"Part"`, `"$defs": {"Piece"`, 1)))
	require.ErrorContains(t, err, "leads nowhere")
}
