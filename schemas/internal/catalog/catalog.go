// Package catalog lists the values that travel on the topics, and makes their JSON Schemas from the Go types.
//
// It is used by the generator (schemas/internal/generate) and by the tests of schemas, so that a type that is added to
// the list is generated, decoded, fuzzed and compared with the last release without another line. It is apart from
// package schemas, because that one imports the standard library only.
package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"

	"kubescribe/schemas"
)

// Version is the version of the contracts, part of every schema's $id and of the folders that hold them.
const Version = "v1"

// Value is one kind of value on a topic.
type Value struct {
	// Name is the schema's file name without ".schema.json", and what testdata files begin with.
	Name string
	// Type is the Go type.
	Type reflect.Type
	// Decode decodes and validates; what it returns encodes with encoding/json and has the type *Type.
	Decode func([]byte) (Validator, error)
}

// Validator is what every decoded value is.
type Validator interface{ Validate() error }

// Values lists every kind of value, in the order of an event's way.
func Values() []Value {
	return []Value{
		value("observation", schemas.DecodeObservation),
		value("gap", schemas.DecodeGap),
		value("container-transition", schemas.DecodeContainerTransition),
		value("document", schemas.DecodeDocument),
		value("match", schemas.DecodeMatch),
		value("alert", schemas.DecodeAlert),
		value("alert-state", schemas.DecodeAlertState),
		value("notification", schemas.DecodeNotification),
		value("checkpoint", schemas.DecodeCheckpoint),
		value("object-state", schemas.DecodeObjectState),
	}
}

func value[T any, P interface {
	*T
	Validator
}](name string, decode func([]byte) (P, error),
) Value {
	return Value{Name: name, Type: reflect.TypeFor[T](), Decode: func(b []byte) (Validator, error) {
		v, err := decode(b)
		if err != nil {
			return nil, err // not v: a nil pointer in an interface is not nil
		}
		return v, nil
	}}
}

// Schemas makes every JSON Schema, by file name. The descriptions are the doc comments of the types, which are read from
// dir, the folder of package schemas. Equal types and comments give equal bytes.
//
// Unknown properties are allowed in the schemas: a reader must pass over what a newer writer added.
func Schemas(dir string) (map[string][]byte, error) {
	r := &jsonschema.Reflector{Anonymous: true, AllowAdditionalProperties: true, ExpandedStruct: true}
	if err := addComments(r, dir); err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, v := range Values() {
		s := r.ReflectFromType(v.Type)
		s.ID = jsonschema.ID("urn:kubescribe:schemas:" + Version + ":" + v.Name)
		s.Title = v.Type.Name()
		b, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("encoding the schema of %s: %w", v.Name, err)
		}
		files[FileName(v.Name)] = append(unescapeHTML(b), '\n')
	}
	return files, nil
}

// unescapeHTML undoes what encoding/json does to a few characters for the sake of HTML, so that people can read the descriptions.
func unescapeHTML(b []byte) []byte {
	for escaped, plain := range map[string]string{`\u003c`: "<", `\u003e`: ">", `\u0026`: "&"} {
		b = bytes.ReplaceAll(b, []byte(escaped), []byte(plain))
	}
	return b
}

// FileName is the name of the file that holds the schema of the value called name.
func FileName(name string) string { return name + ".schema.json" }

func addComments(r *jsonschema.Reflector, dir string) error {
	read := &jsonschema.Reflector{}
	pkg := reflect.TypeFor[schemas.Observation]().PkgPath()
	if err := read.AddGoComments("", dir, jsonschema.WithFullComment()); err != nil {
		return fmt.Errorf("reading the doc comments of %s: %w", dir, err)
	}
	r.CommentMap = map[string]string{}
	at := strings.TrimPrefix(dir, "./")
	for name, text := range read.CommentMap {
		if rest, ok := strings.CutPrefix(name, at+"."); ok {
			r.CommentMap[pkg+"."+rest] = strings.Join(strings.Fields(text), " ")
		}
	}
	if len(r.CommentMap) == 0 {
		return fmt.Errorf("found no doc comments in %s", dir)
	}
	return nil
}
