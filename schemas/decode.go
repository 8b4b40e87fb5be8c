package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

type validator[T any] interface {
	*T
	Validate() error
}

// decode decodes and validates; every topic's decoder is this one, so that none accepts what Validate refuses.
func decode[T any, P validator[T]](b []byte, what string) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", what, err)
	}
	if err := P(v).Validate(); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", what, err)
	}
	return v, nil
}

// Encode encodes a value of a topic. It is encoding/json without the escapes for HTML, which would change the text of
// messages and triple some of it.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// field is a required field and whether it is there.
type field struct {
	name  string
	there bool
}

// required reports the fields that are missing, in the order given.
func required(fields ...field) error {
	var errs []error
	for _, f := range fields {
		if !f.there {
			errs = append(errs, fmt.Errorf("%s: is missing", f.name))
		}
	}
	return errors.Join(errs...)
}
