package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"sync"

	"kubescribe/schemas"
)

// receiver is a webhook that counts pages by idempotency key.
type receiver struct {
	URL string

	server *http.Server
	mu     sync.Mutex
	pages  map[string]int // requests by key
	alerts map[string]schemas.Alert
}

func newReceiver() (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{URL: "http://" + l.Addr().String() + "/hook", pages: map[string]int{}, alerts: map[string]schemas.Alert{}}
	r.server = &http.Server{Handler: r} //nolint:gosec // loopback, for a test
	go func() { _ = r.server.Serve(l) }()
	return r, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var a schemas.Alert
	key := req.Header.Get("Idempotency-Key")
	if err := json.NewDecoder(req.Body).Decode(&a); err != nil || key == "" {
		http.Error(w, "want a JSON alert with an Idempotency-Key", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pages[key]++
	r.alerts[key] = a
}

// count returns the pages by key and the requests that repeated one.
func (r *receiver) count() (pages, repeats int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.pages {
		repeats += n - 1
	}
	return len(r.pages), repeats
}

func (r *receiver) received() []schemas.Alert {
	r.mu.Lock()
	defer r.mu.Unlock()
	var as []schemas.Alert
	for _, a := range r.alerts {
		as = append(as, a)
	}
	return as
}

func (r *receiver) close() { _ = r.server.Close() }
