package schemas_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
	"kubescribe/schemas/internal/catalog"
)

// The seeds are every file of testdata/v1, those of other types too.

func FuzzDecodeObservation(f *testing.F) { fuzzDecoder(f, "observation") }
func FuzzDecodeGap(f *testing.F)         { fuzzDecoder(f, "gap") }
func FuzzDecodeContainerTransition(f *testing.F) {
	fuzzDecoder(f, "container-transition")
}
func FuzzDecodeDocument(f *testing.F)     { fuzzDecoder(f, "document") }
func FuzzDecodeMatch(f *testing.F)        { fuzzDecoder(f, "match") }
func FuzzDecodeAlert(f *testing.F)        { fuzzDecoder(f, "alert") }
func FuzzDecodeAlertState(f *testing.F)   { fuzzDecoder(f, "alert-state") }
func FuzzDecodeNotification(f *testing.F) { fuzzDecoder(f, "notification") }
func FuzzDecodeCheckpoint(f *testing.F)   { fuzzDecoder(f, "checkpoint") }
func FuzzDecodeObjectState(f *testing.F)  { fuzzDecoder(f, "object-state") }

// fuzzDecoder holds: a decoder does not panic; what it accepts is valid, encodes, fits the JSON Schema that is promised to
// other consumers, and decodes to the same again.
func fuzzDecoder(f *testing.F, name string) {
	var value catalog.Value
	for _, v := range catalog.Values() {
		if v.Name == name {
			value = v
		}
	}
	require.NotEmpty(f, value.Name)
	schema := compile(f, name)
	for _, b := range read(f, "testdata/v1") {
		f.Add(b)
	}
	f.Add([]byte(`null`))
	f.Add([]byte(`{"time":"0000-01-01T00:00:00+23:59"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		decoded, err := value.Decode(b)
		if err != nil {
			require.Nil(t, decoded)
			return
		}
		require.NoError(t, decoded.Validate())
		once, err := schemas.Encode(decoded)
		require.NoError(t, err, "decoded but does not encode")
		require.NoError(t, validate(schema, once), "decoded but does not fit the JSON Schema")
		again, err := value.Decode(once)
		require.NoError(t, err)
		twice, err := schemas.Encode(again)
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice))
	})
}

func FuzzParseHeaders(f *testing.F) {
	f.Add("uid/0/uid/1", "kubescribe.observation.event", "2026-11-20T10:07:02Z", "warning")
	f.Add("", "", "9999-12-31T23:59:59-05:00", "")
	f.Fuzz(func(t *testing.T, id, typ, when, class string) {
		e, err := schemas.ParseHeaders(func(yield func(string, []byte) bool) {
			_ = yield(schemas.HeaderID, []byte(id)) && yield(schemas.HeaderType, []byte(typ)) &&
				yield(schemas.HeaderTime, []byte(when)) && yield(schemas.HeaderClass, []byte(class))
		})
		if err != nil {
			return
		}
		again, err := schemas.ParseHeaders(each(e.Headers()))
		require.NoError(t, err)
		require.Equal(t, e, again)
		if e.Class != "" {
			require.Regexp(t, `^kubescribe-[a-z][a-z0-9_]*-\d{4,}\.\d\d\.\d\d$`, schemas.Index("kubescribe", e.Class, schemas.PeriodWeek, e.Time))
		}
	})
}

func FuzzValidateClusterName(f *testing.F) {
	for _, s := range []string{"shop", "Shop EU", "", "---", "a.b/c", "ÅÄÖ", "0", "x-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		err := schemas.ValidateClusterName(name)
		if err == nil {
			require.Regexp(t, `^[a-z0-9-]{1,63}$`, name)
			return
		}
		require.NoError(t, schemas.ValidateClusterName(suggestion(t, err)), "the suggestion is valid")
	})
}

func each(headers []schemas.Header) func(func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		for _, h := range headers {
			if !yield(h.Key, h.Value) {
				return
			}
		}
	}
}
