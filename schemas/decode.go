package schemas

import (
	"encoding/json"
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
