package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// amAlert is an alert as Alertmanager's API gives it.
type amAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	Status      struct {
		State string `json:"state"`
	} `json:"status"`
}

// shown are the alerts that fire as Alertmanager sees it.
func (r *alertmanagerRun) shown(ctx context.Context) ([]amAlert, error) {
	u := r.am.URL + "/api/v2/alerts?" + url.Values{"filter": {`alertname="CrashLoop"`}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var all []amAlert
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("alertmanager answers %s", resp.Status)
	}
	return all, json.NewDecoder(resp.Body).Decode(&all)
}

// amHook is the receiver of Alertmanager's own notifications.
type amHook struct {
	server   *http.Server
	mu       sync.Mutex
	firing   int
	resolved int
	ended    time.Time
}

func (h *amHook) serve() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	h.server = &http.Server{Handler: h} //nolint:gosec // loopback, for a test
	go func() { _ = h.server.Serve(l) }()
	return "http://" + l.Addr().String() + "/", nil
}

func (h *amHook) close() { _ = h.server.Close() }

// ServeHTTP counts what Alertmanager tells.
func (h *amHook) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var m struct {
		Alerts []struct {
			Status string    `json:"status"`
			EndsAt time.Time `json:"endsAt"`
		} `json:"alerts"`
	}
	if err := json.NewDecoder(req.Body).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range m.Alerts {
		if a.Status == "resolved" {
			h.resolved++
			h.ended = a.EndsAt
		} else {
			h.firing++
		}
	}
}

func (h *amHook) count() (firing, resolved int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.firing, h.resolved
}

func (h *amHook) end() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended
}
