package daemon

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Health collects why the components of a process are not ready. It is a stream.HealthReporter; its methods may be called
// by several goroutines and don't block.
type Health struct {
	mu      sync.Mutex
	reasons map[string]string
}

// Set notes why component isn't ready; an empty reason means that it is.
func (h *Health) Set(component, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reasons == nil {
		h.reasons = map[string]string{}
	}
	h.reasons[component] = reason
}

// Reasons are those of the components that are not ready, as "component: reason", sorted.
func (h *Health) Reasons() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for component, reason := range h.reasons {
		if reason != "" {
			out = append(out, component+": "+reason)
		}
	}
	slices.Sort(out)
	return out
}

// components are all that have reported, sorted.
func (h *Health) components() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(keysOf(h.reasons))
}

// serveReady answers 200 when every component is ready, else 503 with one line for each reason.
func (h *Health) serveReady(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if reasons := h.Reasons(); len(reasons) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, strings.Join(reasons, "\n"))
		return
	}
	for _, c := range h.components() {
		fmt.Fprintln(w, c+": ok")
	}
}
