package redact

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkRedact is the longest log that is kept, of plain lines with a secret in each twentieth.
func BenchmarkRedact(b *testing.B) {
	var log strings.Builder
	for i := 0; log.Len() < 64<<10; i++ {
		fmt.Fprintf(&log, "2026-03-01T12:00:00Z level=info msg=\"request\" path=/api/v1/items/%d status=200 key=value\n", i)
		if i%20 == 0 {
			fmt.Fprintf(&log, "dial postgres://app:hunter2@db:5432/shop failed, token=abcdef%d\n", i)
		}
	}
	text, r := log.String(), &Redactor{}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		r.Redact(text)
	}
}
