package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"kubescribe/schemas"
)

// The times that both stores can hold: nanoseconds in 64 bits, from 1970 on (Elasticsearch's date_nanos).
var (
	minTime = time.Unix(0, 0).UTC()
	maxTime = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)
)

// check gives the reason why it can never be stored, or "". Both stores refuse the same items before they ask their engine.
func check(it Item) string {
	switch {
	case it.ID == "":
		return "the id is empty"
	case len(it.ID) > schemas.MaxIDBytes:
		return fmt.Sprintf("the id has %d bytes, at most %d are allowed", len(it.ID), schemas.MaxIDBytes)
	case !utf8.ValidString(it.ID):
		return "the id is not valid UTF-8"
	case it.Time.Before(minTime) || !it.Time.Before(maxTime):
		return fmt.Sprintf("the time %s is not between 1970 and 2261", it.Time.UTC().Format(time.RFC3339))
	}
	if err := schemas.ValidateClass(it.Class); err != nil {
		return err.Error()
	}
	return checkBody(it.Body)
}

func checkBody(b []byte) string {
	b = bytes.TrimLeft(b, " \t\r\n")
	if len(b) == 0 {
		return "the document is empty"
	}
	if b[0] != '{' {
		return fmt.Sprintf("the document is no JSON object: it begins with %q", b[0])
	}
	return ""
}

// oneLine gives b without line breaks, which _bulk takes for the end of a document. JSON has them between tokens only, so
// that a document that isn't valid JSON is refused here.
func oneLine(b []byte) ([]byte, error) {
	if bytes.IndexByte(b, '\n') < 0 {
		return b, nil
	}
	var buf bytes.Buffer
	buf.Grow(len(b))
	if err := json.Compact(&buf, b); err != nil {
		return nil, fmt.Errorf("the document is not JSON: %w", err)
	}
	return buf.Bytes(), nil
}
