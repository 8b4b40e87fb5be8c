package explorer

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kubescribe/internal/store"
)

// parseQuery reads a query from the parameters of a URL, with every problem at once. Each is a *store.QueryError that names its
// parameter. A parameter without a value counts as absent.
func parseQuery(params url.Values, now time.Time) (store.Query, error) {
	var q store.Query
	var errs []error
	bad := func(field, reason string) { errs = append(errs, &store.QueryError{Field: field, Reason: reason}) }
	names := make([]string, 0, len(params))
	for name := range params {
		names = append(names, name)
	}
	slices.Sort(names) // errors and filters come in one order
	for _, name := range names {
		values := slices.DeleteFunc(slices.Clone(params[name]), func(v string) bool { return v == "" })
		if len(values) == 0 {
			continue
		}
		single := true
		switch name {
		case "q":
			q.Text = values[0]
		case "where":
			e, err := store.ParseExpression(values[0], now)
			if err != nil {
				bad(name, err.Error())
				continue
			}
			q.Where = e
		case "after":
			q.After = values[0]
		case "limit":
			n, err := strconv.Atoi(values[0])
			if err != nil || n < 1 {
				bad(name, "is no whole number from 1 to "+strconv.Itoa(store.MaxLimit))
				continue
			}
			q.Limit = n
		case "from", "to":
			t, err := parseTime(values[0], now)
			if err != nil {
				bad(name, err.Error())
				continue
			}
			if name == "from" {
				q.From = t
			} else {
				q.To = t
			}
		default:
			single = false
			q.Filters = append(q.Filters, store.Filter{Field: name, Values: values})
		}
		if single && len(values) > 1 {
			bad(name, "is given more than once")
		}
	}
	if err := q.Validate(); err != nil {
		errs = append(errs, err)
	}
	return q, errors.Join(errs...)
}

var errTime = errors.New(`is no time: write RFC 3339 ("2026-06-01T12:00:00Z"), or how long ago ("90m", "7d")`)

// parseTime reads an instant, or a duration before now.
func parseTime(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
		return time.Time{}, errTime
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return time.Time{}, errTime
	}
	return now.Add(-d), nil
}

// problems lists the reasons by parameter, of an error of parseQuery or of the store; ok is false for any other error.
func problems(err error) (byField map[string]string, ok bool) {
	byField = map[string]string{}
	var add func(err error) bool
	add = func(err error) bool {
		if joined, is := err.(interface{ Unwrap() []error }); is {
			for _, e := range joined.Unwrap() {
				if !add(e) {
					return false
				}
			}
			return true
		}
		var q *store.QueryError
		if !errors.As(err, &q) {
			return false
		}
		if _, there := byField[q.Field]; !there {
			byField[q.Field] = q.Reason
		}
		return true
	}
	return byField, add(err)
}
