package e2e

import (
	"strings"
	"testing"

	"kubescribe/enricher/crashlog"
	"kubescribe/internal/redact"
)

// The planted logs hold every secret that is looked for; without its secrets, every word that must arrive is left; and they fit.
func TestPlantedLogs(t *testing.T) {
	raw := strings.Join(plantedLines, "\n")
	r, err := redact.New([]string{"cust-[0-9]+"})
	if err != nil {
		t.Fatal(err)
	}
	clean, found := r.Redact(raw)
	for _, s := range plantedSecrets {
		if !strings.Contains(raw, s) || strings.Contains(clean, s) {
			t.Errorf("%s: planted %v, left %v", s, strings.Contains(raw, s), strings.Contains(clean, s))
		}
	}
	words := keptWords()
	for _, w := range words {
		if !strings.Contains(clean, w) {
			t.Errorf("%s is lost: %s", w, clean)
		}
	}
	if len(words) < 10 || found.Total() < len(words)-1 || len(plantedLines) >= crashlog.Default().Lines {
		t.Errorf("%d words, %v, %d lines", len(words), found, len(plantedLines))
	}
}
