package explorer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"kubescribe/internal/store"
	"kubescribe/internal/stream"
)

// shutdownTimeout is how long requests may go on after a stop.
const shutdownTimeout = 5 * time.Second

// Run serves until ctx ends, and returns nil then. It does not close st. It returns an error when it can't listen.
func Run(ctx context.Context, cfg Config, d stream.Deps, st store.Store) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	handler, err := newHandler(cfg, d, st)
	if err != nil {
		return fmt.Errorf("explorer: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("explorer: listening on explorer.listen: %w", err)
	}
	if loopback(l.Addr().String()) {
		handler = localNames(handler)
	} else {
		d.Log.WarnContext(ctx, "the explorer can be reached from other machines and asks nobody for credentials", "address", l.Addr().String())
	}
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      cfg.QueryTimeout + 30*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(d.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	if cfg.Ready != nil {
		cfg.Ready(l.Addr().String())
	}
	select {
	case err := <-served:
		return fmt.Errorf("explorer: serving: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		return srv.Close() // cuts off who is still reading a slow answer
	}
	return nil
}

func newHandler(cfg Config, d stream.Deps, st store.Store) (http.Handler, error) {
	page, err := renderPage()
	if err != nil {
		return nil, fmt.Errorf("rendering the page: %w", err)
	}
	a := &api{store: st, now: d.Now, timeout: cfg.QueryTimeout, log: d.Log}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/search", a.question(a.search))
	mux.HandleFunc("/api/v1/count", a.question(a.count))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page) //nolint:errcheck // the client is gone
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusNotFound, errorAnswer{failure{Message: "there is nothing at " + r.URL.Path}})
	})
	return readOnly(mux), nil
}

// readOnly lets GET and HEAD through, and sets the headers that every answer has.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			reply(w, http.StatusMethodNotAllowed, errorAnswer{failure{Message: "the explorer only reads: use GET"}})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// localNames refuses requests to other hosts than this machine's loopback: a page whose name was made to point here (DNS
// rebinding) sends its own name.
func localNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !localName(r.Host) {
			reply(w, http.StatusForbidden, errorAnswer{failure{Message: "the explorer listens on loopback: ask for localhost"}})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func localName(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
