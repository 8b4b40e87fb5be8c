package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/stream"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	require.NoError(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(b)
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func processConfig(addr string) ProcessConfig {
	return ProcessConfig{Log: LogConfig{Level: "info", Format: "json"}, HTTP: HTTPConfig{Listen: addr}, ShutdownTimeout: 5 * time.Second}
}

func TestServe(t *testing.T) {
	addr := freeAddr(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started, checks := make(chan stream.Deps), make(chan struct{})
	done := make(chan error, 1)
	var logs strings.Builder
	go func() {
		done <- Serve(ctx, &logs, processConfig(addr), Service{
			Name: "thing",
			Start: func(_ context.Context, d stream.Deps) error {
				started <- d
				<-checks
				return nil
			},
			Run: func(ctx context.Context, d stream.Deps) error {
				d.Metrics.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "kubescribe_thing_total", Help: "x"}))
				d.Health.Set("loop", "partition 3: Elasticsearch refuses the index")
				started <- d
				<-ctx.Done()
				return nil
			},
		})
	}()

	<-started
	code, body := get(t, "http://"+addr+"/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, code)
	assert.Equal(t, "thing: starting\n", body)
	close(checks)

	d := <-started
	code, body = get(t, "http://"+addr+"/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, code)
	assert.Equal(t, "loop: partition 3: Elasticsearch refuses the index\n", body)
	d.Health.Set("loop", "")
	code, body = get(t, "http://"+addr+"/readyz")
	assert.Equal(t, http.StatusOK, code)
	assert.Equal(t, "loop: ok\nthing: ok\n", body)
	code, _ = get(t, "http://"+addr+"/livez")
	assert.Equal(t, http.StatusOK, code)
	_, body = get(t, "http://"+addr+"/metrics")
	for _, want := range []string{"kubescribe_thing_total 0", "kubescribe_build_info{", `service="thing"`, "process_cpu_seconds_total", "go_goroutines"} {
		assert.Contains(t, body, want)
	}
	code, _ = get(t, "http://"+addr+"/debug/pprof/")
	assert.Equal(t, http.StatusNotFound, code, "profiles are off unless asked for")

	cancel()
	require.NoError(t, <-done)
	_, err := net.Dial("tcp", addr)
	require.Error(t, err, "it no longer listens")
	assert.Contains(t, logs.String(), `"service":"thing"`)
}

func TestServeErrors(t *testing.T) {
	c := processConfig("")
	broken := errors.New("broken")
	ok := func(context.Context, stream.Deps) error { return nil }
	fail := func(context.Context, stream.Deps) error { return broken }
	require.ErrorIs(t, Serve(t.Context(), io.Discard, c, Service{Name: "a", Start: fail, Run: ok}), broken)
	require.ErrorIs(t, Serve(t.Context(), io.Discard, c, Service{Name: "a", Run: fail}), broken)
	require.NoError(t, Serve(t.Context(), io.Discard, c, Service{Name: "a", Run: ok}))

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	err = Serve(t.Context(), io.Discard, processConfig(l.Addr().String()), Service{Name: "a", Run: ok})
	assert.ErrorContains(t, err, "listening on http.listen: listen tcp "+l.Addr().String())
}

func TestServePprof(t *testing.T) {
	addr := freeAddr(t)
	c := processConfig(addr)
	c.HTTP.Pprof = true
	err := Serve(t.Context(), io.Discard, c, Service{Name: "a", Run: func(context.Context, stream.Deps) error {
		code, _ := get(t, "http://"+addr+"/debug/pprof/goroutine?debug=1")
		assert.Equal(t, http.StatusOK, code)
		return nil
	}})
	require.NoError(t, err)
}

func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		began := time.Now()
		go func() {
			<-time.After(time.Hour) // it may run for as long as it likes before the signal
			cancel()
		}()
		err := Bounded(ctx, 20*time.Second, func(context.Context) error {
			<-release
			return nil
		})
		assert.ErrorContains(t, err, "stopping took longer than shutdown_timeout (20s)")
		assert.Equal(t, time.Hour+20*time.Second, time.Since(began))
		close(release)
	})
}

func TestProcessConfigValidate(t *testing.T) {
	require.NoError(t, ProcessConfig{Log: DefaultLog(), HTTP: DefaultHTTP(), ShutdownTimeout: time.Second}.Validate())
	err := ProcessConfig{Log: LogConfig{Level: "loud", Format: "xml"}, HTTP: HTTPConfig{Listen: "8080"}}.Validate()
	for _, key := range []string{"log.level", "log.format", "http.listen", "shutdown_timeout"} {
		assert.ErrorContains(t, err, key)
	}
}

func TestExit(t *testing.T) {
	assert.Equal(t, 0, Exit(nil))
	assert.Equal(t, 1, Exit(errors.New("x")))
	assert.Equal(t, 2, Exit(fmt.Errorf("a: %w", &UsageError{Err: errors.New("x")})))
}

// The first signal ends the context, the second the process.
func TestSignals(t *testing.T) {
	if os.Getenv("DAEMON_SIGNALS") != "" {
		ctx, stop := Signals(context.Background())
		defer stop()
		fmt.Println("waiting")
		<-ctx.Done()
		fmt.Println(context.Cause(ctx))
		select {} // it hangs in its shutdown
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSignals$")
	cmd.Env = append(os.Environ(), "DAEMON_SIGNALS=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Equal(t, "waiting", lines.Text())
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.True(t, lines.Scan())
	require.Equal(t, "received terminated", lines.Text())
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	assert.Equal(t, ExitFailed, exit.ExitCode())
}
