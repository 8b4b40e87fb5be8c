package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// HTTPConfig is the server of /livez, /readyz and /metrics. It has no authentication: keep it inside the cluster.
type HTTPConfig struct {
	// Listen is the address, host:port; ":8080" is every interface. "" turns the server off.
	Listen string `koanf:"listen"`
	// Pprof adds /debug/pprof, which shows memory and stacks to everybody who can reach the port.
	Pprof bool `koanf:"pprof"`
}

// DefaultHTTP serves on every interface, because kubelet and Prometheus ask from outside the pod.
func DefaultHTTP() HTTPConfig { return HTTPConfig{Listen: ":8080"} }

func (c HTTPConfig) problems() []error {
	if c.Listen == "" {
		return nil
	}
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" {
		return []error{fmt.Errorf("http.listen: %q is no address: write host:port or :port", c.Listen)}
	}
	return nil
}

var errServing = errors.New("serving http.listen")

// serveHTTP listens and serves until the returned function is called, which waits at most two seconds for open requests.
func serveHTTP(c HTTPConfig, h *Health, r *prometheus.Registry, failed func(error)) (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return "", nil, fmt.Errorf("listening on http.listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", h.serveReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{Registry: r, EnableOpenMetrics: true}))
	if c.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed(fmt.Errorf("%w: %w", errServing, err))
		}
	}()
	return l.Addr().String(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		<-done
	}, nil
}
