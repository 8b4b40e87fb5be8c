package daemon

import (
	"encoding"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const redacted = "<redacted>"

// Print writes the configuration that cfg points to as YAML that Load can read, its keys in the order of the fields.
// Secrets, and passwords in URLs, are redacted.
func Print(w io.Writer, cfg any) error {
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	y, err := encode(reflect.ValueOf(cfg), false)
	if err != nil {
		return err
	}
	if err := e.Encode(y); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	return e.Close()
}

func encode(v reflect.Value, secret bool) (*yaml.Node, error) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
		}
		v = v.Elem()
	}
	if secret && !v.IsZero() {
		return text(redacted), nil
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		return text(string(b)), err
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return text(shortDuration(d)), nil
	}
	switch v.Kind() {
	case reflect.Struct:
		y := &yaml.Node{Kind: yaml.MappingNode}
		for f := range fields(v.Type()) {
			if err := appendPair(y, f.name, v.FieldByIndex(f.Index), f.Tag.Get("secret") == "true"); err != nil {
				return nil, err
			}
		}
		return y, nil
	case reflect.Map:
		y := &yaml.Node{Kind: yaml.MappingNode}
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, name := range names {
			if err := appendPair(y, name.String(), v.MapIndex(name), secret); err != nil {
				return nil, err
			}
		}
		return y, nil
	case reflect.Slice:
		y := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			e, err := encode(v.Index(i), secret)
			if err != nil {
				return nil, err
			}
			y.Content = append(y.Content, e)
		}
		return y, nil
	case reflect.String:
		return text(withoutPassword(v.String())), nil
	}
	y := new(yaml.Node)
	if err := y.Encode(v.Interface()); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	return y, nil
}

func appendPair(y *yaml.Node, name string, v reflect.Value, secret bool) error {
	value, err := encode(v, secret)
	if err != nil {
		return err
	}
	y.Content = append(y.Content, text(name), value)
	return nil
}

// text is a string's node; the encoder quotes what would read as something else.
func text(s string) *yaml.Node {
	y := new(yaml.Node)
	y.SetString(s)
	return y
}

func withoutPassword(s string) string {
	if !strings.Contains(s, "://") || !strings.Contains(s, "@") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return redacted // it may hold a password; we can't tell where
	}
	return u.Redacted()
}

// shortDuration is d without zero minutes and seconds: 168h, not 168h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
