package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// closeTracerTimeout bounds the sending of the last spans at a stop.
const closeTracerTimeout = 3 * time.Second

// newTracer makes spans only when one of OpenTelemetry's own variables says where to send them (OTLP over HTTP). The exporter and
// the sampler read the rest of theirs, such as OTEL_EXPORTER_OTLP_HEADERS and OTEL_TRACES_SAMPLER. Spans are dropped, and nothing
// waits, when the receiver is away.
func newTracer(ctx context.Context, service string, log *slog.Logger) (trace.TracerProvider, func(), error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return noop.NewTracerProvider(), func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("making the exporter of traces: %w", err)
	}
	// The environment's resource comes last, so that OTEL_SERVICE_NAME wins.
	res, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "kubescribe-"+service), attribute.String("service.version", ReadVersion().Version),
	), resource.WithFromEnv(), resource.WithHost())
	if err != nil {
		log.Warn("describing this process for traces failed in part", "err", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	return provider, func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTracerTimeout)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("sending the last spans failed", "err", err)
		}
	}, nil
}
