package daemon

import (
	"context"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

func newTracer(context.Context, string) (trace.TracerProvider, func(), error) {
	return noop.NewTracerProvider(), func() {}, nil
}
