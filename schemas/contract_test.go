package schemas_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
	"kubescribe/schemas/internal/catalog"
	"kubescribe/schemas/internal/compat"
)

// TestTestdataDecodes holds the promise that a value that was once valid decodes for ever, keeps every field that it had,
// and fits its JSON Schema. Files may be added to testdata/v1; none may be changed or removed.
func TestTestdataDecodes(t *testing.T) {
	for _, v := range catalog.Values() {
		files := testdata(t, v.Name)
		require.GreaterOrEqual(t, len(files), 2, "testdata of %s", v.Name)
		schema := compile(t, v.Name)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			t.Run(name, func(t *testing.T) {
				require.NoError(t, validate(schema, files[name]), "against its JSON Schema")
				decoded, err := v.Decode(files[name])
				require.NoError(t, err)
				again, err := schemas.Encode(decoded)
				require.NoError(t, err)
				require.JSONEq(t, string(files[name]), string(again), "a field is lost or made up")
			})
		}
	}
}

func TestTestdataBelongsToATypeEach(t *testing.T) {
	total := 0
	for _, v := range catalog.Values() {
		total += len(testdata(t, v.Name))
	}
	all, err := filepath.Glob("testdata/v1/*.json")
	require.NoError(t, err)
	require.Len(t, all, total, "a file in testdata/v1 begins with no type's name")
}

// TestSchemasAreCurrent fails when a type or its doc comment was changed without `make generate`.
func TestSchemasAreCurrent(t *testing.T) {
	generated, err := catalog.Schemas(".")
	require.NoError(t, err)
	require.Equal(t, names(generated), names(read(t, "json/v1")))
	for name, want := range generated {
		got, err := os.ReadFile(filepath.Join("json/v1", name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), "json/v1/%s is stale: run `make generate`", name)
	}
}

// TestSchemasKeepTheirReaders fails on a change that breaks a consumer of the last release, or its records. Within v1 that
// change must not be made; before the first release `make release-schemas` accepts it.
func TestSchemasKeepTheirReaders(t *testing.T) {
	released := read(t, "json/released/v1")
	require.NotEmpty(t, released)
	current, err := catalog.Schemas(".")
	require.NoError(t, err)
	for name, was := range released {
		is, ok := current[name]
		require.True(t, ok, "%s was released and is gone", name)
		breaks, err := compat.Breaks(was, is)
		require.NoError(t, err, name)
		require.Empty(t, breaks, name)
	}
}

// TestJSONSchemasRefuse shows that the schemas are no formality: each refuses an object without fields.
func TestJSONSchemasRefuse(t *testing.T) {
	for _, v := range catalog.Values() {
		require.Error(t, validate(compile(t, v.Name), []byte(`{}`)), v.Name)
		_, err := v.Decode([]byte(`{}`))
		require.Error(t, err, v.Name)
	}
}

func TestDecodersIgnoreUnknownFields(t *testing.T) {
	for _, v := range catalog.Values() {
		schema := compile(t, v.Name)
		for name, b := range testdata(t, v.Name) {
			newer := append([]byte(`{"addedByANewerWriter":{"x":[1]},`), bytes.TrimPrefix(bytes.TrimSpace(b), []byte("{"))...)
			_, err := v.Decode(newer)
			require.NoError(t, err, name)
			require.NoError(t, validate(schema, newer), name)
		}
	}
}

func testdata(t testing.TB, value string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for name, b := range read(t, "testdata/v1") {
		if strings.HasPrefix(name, value+".") {
			files[name] = b
		}
	}
	return files
}

func read(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	files := map[string][]byte{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		files[e.Name()] = b
	}
	return files
}

func names(files map[string][]byte) []string { return slices.Sorted(maps.Keys(files)) }

func compile(t testing.TB, value string) *jsonschema.Schema {
	t.Helper()
	f, err := os.Open(filepath.Join("json/v1", catalog.FileName(value)))
	require.NoError(t, err)
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	const url = "urn:kubescribe:under-test"
	require.NoError(t, c.AddResource(url, doc))
	s, err := c.Compile(url)
	require.NoError(t, err)
	return s
}

func validate(s *jsonschema.Schema, b []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return err
	}
	return s.Validate(v)
}
