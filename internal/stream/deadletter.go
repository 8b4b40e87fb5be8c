package stream

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Headers of a dead letter. The source's own headers come first and are kept as they were.
const (
	HeaderDeadTopic     = "deadletter_topic"
	HeaderDeadPartition = "deadletter_partition"
	HeaderDeadOffset    = "deadletter_offset"
	HeaderDeadGroup     = "deadletter_group"
	// HeaderDeadReason is a short slug.
	HeaderDeadReason = "deadletter_reason"
	// HeaderDeadError is the first KiB of the error's text.
	HeaderDeadError = "deadletter_error"
	// HeaderDeadTime is when the record was given up, RFC 3339 with nanoseconds.
	HeaderDeadTime = "deadletter_time"
	// HeaderDeadSize and HeaderDeadSHA256 (hex) are of the whole source value; only when the value was cut.
	HeaderDeadSize   = "deadletter_size"
	HeaderDeadSHA256 = "deadletter_sha256"
	// HeaderDeadNoHeaders says that the source's own headers were too large to keep.
	HeaderDeadNoHeaders = "deadletter_headers_dropped"

	headerDeadPrefix = "deadletter_"
)

const (
	deadWholeBytes  = 3 << 20
	deadCutBytes    = 1 << 20
	deadErrorBytes  = 1 << 10
	deadReasonBytes = 64
	deadSlackBytes  = 8 << 10
)

// NewDeadLetter is the dead letter of what a loop outside this package could not handle; the caller writes it.
func NewDeadLetter(p Poison, topic, group string, now time.Time) *kgo.Record {
	return deadLetter(p, topic, group, now)
}

// deadLetter makes the record that goes to the dead-letter topic in place of r. The value is r's, unchanged up to 3 MiB; beyond
// that, or when key and headers leave too little room in Kafka's 4 MiB, it is the first 1 MiB.
func deadLetter(p Poison, topic, group string, now time.Time) *kgo.Record {
	r := p.Record
	own := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	text := ""
	if p.Err != nil {
		text = clip(p.Err.Error(), deadErrorBytes)
	}
	reason := clip(p.Reason, deadReasonBytes)
	if reason == "" {
		reason = "unknown"
	}
	headers := slices.Clone(r.Headers)
	around := len(r.Key)
	for _, h := range r.Headers {
		around += len(h.Key) + len(h.Value) + 10
	}
	if around > batchMaxBytes-deadCutBytes-deadSlackBytes {
		headers, around = []kgo.RecordHeader{own(HeaderDeadNoHeaders, "true")}, len(r.Key)
	}
	headers = append(
		headers,
		own(HeaderDeadTopic, r.Topic),
		own(HeaderDeadPartition, strconv.Itoa(int(r.Partition))),
		own(HeaderDeadOffset, strconv.FormatInt(r.Offset, 10)),
		own(HeaderDeadGroup, group),
		own(HeaderDeadReason, reason),
		own(HeaderDeadError, text),
		own(HeaderDeadTime, now.UTC().Format(time.RFC3339Nano)),
	)
	value := r.Value
	if len(value) > deadWholeBytes || len(value)+around > batchMaxBytes-deadSlackBytes {
		sum := sha256.Sum256(value)
		headers = append(headers, own(HeaderDeadSize, strconv.Itoa(len(value))), own(HeaderDeadSHA256, hex.EncodeToString(sum[:])))
		value = value[:min(len(value), deadCutBytes)]
	}
	return &kgo.Record{Topic: topic, Key: r.Key, Value: value, Headers: headers, Context: r.Context}
}

// clip cuts s to at most limit bytes without breaking a character.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return strings.ToValidUTF8(s[:limit], "")
}
