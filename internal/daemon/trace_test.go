package daemon

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/internal/stream"
)

func TestTracesGoWhereOpenTelemetrySays(t *testing.T) {
	var mu sync.Mutex
	var path string
	var body bytes.Buffer
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		path = r.URL.Path
		_, _ = io.Copy(&body, r.Body)
	}))
	defer receiver.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
	err := Serve(t.Context(), io.Discard, processConfig(""), Service{Name: "thing", Run: func(ctx context.Context, d stream.Deps) error {
		_, span := d.Tracer.Tracer("test").Start(ctx, "a span of the test")
		span.End()
		return nil
	}})
	require.NoError(t, err)
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, "/v1/traces", path)
	assert.Contains(t, body.String(), "a span of the test")
	assert.Contains(t, body.String(), "kubescribe-thing")
}

func TestNoTracesUnlessAsked(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	err := Serve(t.Context(), io.Discard, processConfig(""), Service{Name: "thing", Run: func(ctx context.Context, d stream.Deps) error {
		_, span := d.Tracer.Tracer("test").Start(ctx, "a span")
		assert.False(t, span.IsRecording())
		return nil
	}})
	require.NoError(t, err)
}
