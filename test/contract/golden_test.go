package contract

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

var update = flag.Bool("update", false, "write the golden files and ARCHITECTURE.md anew")

// record is one record of a topic.
type record struct {
	topic, key string
	headers    []schemas.Header
	value      []byte
}

// text is how a golden file shows r: all of its bytes are text.
func (r record) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "topic: %s\nkey: %s\n", r.topic, r.key)
	for _, h := range r.headers {
		fmt.Fprintf(&b, "header: %s: %s\n", h.Key, h.Value)
	}
	fmt.Fprintf(&b, "value: %s\n", r.value)
	return b.String()
}

// golden compares r with the golden file called name, and its value with the JSON Schema that other consumers rely on; schema is
// empty for bytes that are no value of ours.
func (r record) golden(t *testing.T, name, schema string) {
	t.Helper()
	if schema != "" {
		require.NoError(t, valid(compile(t, schema), r.value), name)
	}
	file := filepath.Join("../../schemas/testdata/golden", name+".txt")
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(r.text()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), r.text(), "%s: the bytes on the topic changed; if that is meant and compatible, run go test ./test/contract -update", name)
}

func compile(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(filepath.Join("../../schemas/json/v1", name+".schema.json"))
	require.NoError(t, err)
	return s
}

func valid(s *jsonschema.Schema, value []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return err
	}
	return s.Validate(v)
}
