package schemas

import (
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
