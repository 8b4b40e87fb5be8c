package schemas

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// fill gives v a value, with every member somewhere set and somewhere not; share is how likely it is set.
func fill(v reflect.Value, r *rand.Rand, share float64) {
	if r.Float64() > share {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), r, share)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(r.Int64N(4e9), r.Int64N(3)*500_000_000).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), r, share)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(3), 4))
		for i := range v.Len() {
			fill(v.Index(i), r, share)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(40) {
			v.SetMapIndex(reflect.ValueOf(text(r)), reflect.ValueOf(text(r)))
		}
	case reflect.String:
		v.SetString(text(r))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64, reflect.Int32, reflect.Int:
		v.SetInt(r.Int64N(1000) - 500)
	default:
		panic("a document has a " + v.Type().String() + ": say here what one looks like")
	}
}

var awkward = []string{"plain", "<&>", "a\"b\\c", "\b\f\n\r\t\x00\x1f\x7f", "é", "\u2028\u2029\u2030", "\xff", "a\xc3", "\ufffd", "\U0001F600", "\xed\xa0\x80"}

func text(r *rand.Rand) string {
	s := ""
	for range 1 + r.IntN(3) {
		s += awkward[r.IntN(len(awkward))]
	}
	return s
}

// Whatever fields a document has, it is encoded as encoding/json would.
func TestEncodeIsEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		var d Document
		fill(reflect.ValueOf(&d).Elem(), r, []float64{0, 0.5, 0.9, 0.99, 1}[i%5])
		want, err := Encode(&d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

func TestEncodeRefusesWhatEncodingJSONRefuses(t *testing.T) {
	d := Document{Timestamp: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}
	if _, err := Encode(&d); err == nil {
		t.Fatal("encoding/json takes a year of five digits")
	}
	if _, err := d.Encode(); err == nil {
		t.Fatal("a year of five digits was encoded")
	}
}

func FuzzEncodeString(f *testing.F) {
	for _, s := range awkward {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := Encode(s)
		if got := appendString(nil, s); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %s, want %s, %v", got, want, err)
		}
	})
}

func BenchmarkDocumentEncode(b *testing.B) {
	files, err := filepath.Glob("testdata/v1/document*.json")
	if err != nil || len(files) == 0 {
		b.Fatal(files, err)
	}
	var docs []*Document
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			b.Fatal(err)
		}
		d := new(Document)
		if err := json.Unmarshal(raw, d); err != nil {
			b.Fatal(err)
		}
		docs = append(docs, d)
	}
	for b.Loop() {
		for _, d := range docs {
			if _, err := d.Encode(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
