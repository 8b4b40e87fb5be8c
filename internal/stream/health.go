package stream

import (
	"fmt"
	"slices"
	"sync"
)

// health joins the reasons of one loop (the connection, each stopped partition) into the one reason that is reported.
type health struct {
	component string
	to        HealthReporter

	mu      sync.Mutex
	reasons map[string]string
	last    string
}

func newHealth(component string, to HealthReporter) *health {
	return &health{component: component, to: to, reasons: map[string]string{}}
}

// set notes why key isn't ready; an empty reason clears it.
func (h *health) set(key, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reasons[key] == reason {
		return
	}
	if reason == "" {
		delete(h.reasons, key)
	} else {
		h.reasons[key] = reason
	}
	joined := h.joined()
	if joined != h.last {
		h.last = joined
		h.to.Set(h.component, joined)
	}
}

// joined is the alphabetically first key's reason and the number of the others: a page of text helps nobody.
func (h *health) joined() string {
	if len(h.reasons) == 0 {
		return ""
	}
	keys := make([]string, 0, len(h.reasons))
	for k := range h.reasons {
		keys = append(keys, k)
	}
	first := slices.Min(keys)
	if len(keys) == 1 {
		return first + ": " + h.reasons[first]
	}
	return fmt.Sprintf("%s: %s (and %d more)", first, h.reasons[first], len(keys)-1)
}
