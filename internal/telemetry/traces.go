// Package telemetry sets up what ogcache tells of itself: traces by
// OpenTelemetry's standard variables, and logs for people or machines.
package telemetry

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// defaultSampling is the share of traces that are recorded unless
// OTEL_TRACES_SAMPLER or the caller's trace context says otherwise.
const defaultSampling = 0.01

// Traces is the process's tracing.
type Traces struct {
	TracerProvider trace.TracerProvider
	// Propagator reads and writes W3C trace context and baggage.
	Propagator propagation.TextMapPropagator

	shutdown func(context.Context) error
}

// SetupTraces sets up tracing as the standard OTEL_* variables of the process
// say. Where they name neither an exporter nor an endpoint, nothing is
// recorded, and trace context is passed on all the same.
func SetupTraces(ctx context.Context) (*Traces, error) {
	t := &Traces{
		TracerProvider: noop.NewTracerProvider(),
		Propagator:     propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
		shutdown:       func(context.Context) error { return nil },
	}
	if !exports() {
		return t, nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("the traces' exporter: %w", err)
	}
	described, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName("ogcache"), semconv.ServiceVersion(version())),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithBatcher(exporter), sdktrace.WithResource(described)}
	if os.Getenv("OTEL_TRACES_SAMPLER") == "" {
		options = append(options, sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(defaultSampling))))
	}
	provider := sdktrace.NewTracerProvider(options...)
	t.TracerProvider, t.shutdown = provider, provider.Shutdown
	return t, nil
}

// exports reports whether the environment asks for traces.
func exports() bool {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// Shutdown sends what has not been sent yet.
func (t *Traces) Shutdown(ctx context.Context) error { return t.shutdown(ctx) }
