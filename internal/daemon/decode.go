package daemon

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
)

// decode puts a value from outside into target, a pointer. With weak a string may stand for a number or a boolean: the
// environment and flags have nothing else.
func decode(value, target any, weak bool) error {
	d, err := mapstructure.NewDecoder(decoderConfig(target, weak))
	if err != nil {
		return fmt.Errorf("making a decoder: %w", err)
	}
	if err := d.Decode(value); err != nil {
		return plain(err)
	}
	return nil
}

// decoderConfig names every hook, because a configuration of one's own drops koanf's default hooks. ZeroFields makes a
// list replace the default list instead of being laid over it.
func decoderConfig(target any, weak bool) *mapstructure.DecoderConfig {
	return &mapstructure.DecoderConfig{
		Result: target, TagName: "koanf", ZeroFields: true, WeaklyTypedInput: weak,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			durationHook,
			listHook,
			mapstructure.TextUnmarshallerHookFunc(),
		),
	}
}

// durationHook takes a duration with a unit only: a bare 5 would silently be five nanoseconds.
func durationHook(from, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() || from == to {
		return value, nil
	}
	s, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("%v is no duration: write it with a unit, such as 30s, 5m or 12h", value)
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return nil, fmt.Errorf("%q is no duration: write it with a unit, such as 30s, 5m or 12h", s)
	}
	return d, nil
}

// listHook splits "a, b" where a list of strings is wanted.
func listHook(from, to reflect.Type, value any) (any, error) {
	if from.Kind() != reflect.String || to.Kind() != reflect.Slice || to.Elem().Kind() != reflect.String {
		return value, nil
	}
	list := []string{}
	for part := range strings.SplitSeq(reflect.ValueOf(value).String(), ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list, nil
}

// plain strips mapstructure's frame from an error; the caller names the key.
func plain(err error) error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && len(joined.Unwrap()) > 0 {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, plain(e))
		}
		return errors.Join(out...)
	}
	var at *mapstructure.DecodeError
	if !errors.As(err, &at) {
		return err
	}
	cause := at.Unwrap()
	var unconvertible *mapstructure.UnconvertibleTypeError
	if errors.As(cause, &unconvertible) {
		cause = fmt.Errorf("want %s, got %s", typeName(unconvertible.Expected.Type()), typeName(reflect.TypeOf(unconvertible.Value)))
	}
	if at.Name() != "" {
		return fmt.Errorf("%s: %w", at.Name(), cause)
	}
	return cause
}

// typeName is how the documentation calls a type.
func typeName(t reflect.Type) string {
	switch {
	case t == nil:
		return "nothing"
	case t == reflect.TypeFor[time.Duration]():
		return "a duration"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string (quote it)"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "a section"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Pointer:
		return typeName(t.Elem())
	default:
		return "a whole number"
	}
}
