package bench

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/extra/redisotel/v9"
	"github.com/redis/go-redis/v9"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/testenv"
)

// BenchmarkInstrumentedHit is what instrumentation adds to a hit, on a
// connection that costs nothing, under parents of which 1 % are sampled.
// ogcache also checks digest, checksum and lifetime of what it got.
func BenchmarkInstrumentedHit(b *testing.B) {
	key, err := family.Key("user_1")
	if err != nil {
		b.Fatal(err)
	}
	server := testenv.Redis(b)
	stored := value(smallValue)
	warm(b, instrumented.For[[]byte](open(b, server.Addr, nil, instrumented.Options{}), family), []string{key.ID()}, stored)
	envelope, err := server.Client(b).Get(b.Context(), key.String()).Bytes()
	if err != nil {
		b.Fatal(err)
	}
	dial := newStub(envelope).dial

	get := func(get func(context.Context) ([]byte, error), want []byte) func(*testing.B) {
		return func(b *testing.B) {
			parents := requests(b)
			got, err := get(b.Context())
			expect(b, got, want, err)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := get(parents[i%len(parents)]); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	getBare := func(client *redis.Client) func(context.Context) ([]byte, error) {
		return func(ctx context.Context) ([]byte, error) { return client.Get(ctx, key.String()).Bytes() }
	}
	withRedisotel := func(options ...redisotel.TracingOption) func(*testing.B) {
		return func(b *testing.B) {
			client := bare(b, "stub:6379", dial)
			options := append(options, redisotel.WithTracerProvider(tracing(b)))
			if err := redisotel.InstrumentTracing(client, options...); err != nil {
				b.Fatal(err)
			}
			get(timed(getBare(client)), envelope)(b)
		}
	}
	compare(b,
		impl{"bare", func(b *testing.B) { get(getBare(bare(b, "stub:6379", dial)), envelope)(b) }},
		impl{"ogcache", func(b *testing.B) {
			view := instrumented.For[[]byte](open(b, "stub:6379", dial, instrumented.Options{TracerProvider: tracing(b)}), family)
			get(func(ctx context.Context) ([]byte, error) { return view.Fetch(ctx, key.ID(), mustNotLoad) }, stored)(b)
		}},
		impl{"redisotel", withRedisotel()},
		impl{"redisotel-lean", withRedisotel(redisotel.WithDBStatement(false), redisotel.WithCallerEnabled(false))},
	)
}

// sampled is the share of requests that are traced.
const sampled = 0.01

// tracing returns a provider that samples as a service in production does and
// throws the spans away.
func tracing(b *testing.B) trace.TracerProvider {
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(sampled))),
		sdktrace.WithSpanProcessor(discard{}),
	)
	b.Cleanup(func() { _ = provider.Shutdown(context.Background()) }) // discards cannot fail
	return provider
}

// requests returns the contexts of a hundred requests, of which exactly one is
// sampled.
func requests(b *testing.B) []context.Context {
	tracer := tracing(b).Tracer("bench")
	const n = 100
	all := make([]context.Context, 0, n)
	for left := int(n * sampled); left > 0; {
		ctx, span := tracer.Start(b.Context(), "request")
		if span.IsRecording() {
			all = append(all, ctx)
			left--
		}
	}
	for len(all) < n {
		ctx, span := tracer.Start(b.Context(), "request")
		if !span.IsRecording() {
			all = append(all, ctx)
		}
	}
	return all
}

// discard is the span processor of an exporter that costs nothing.
type discard struct{}

func (discard) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (discard) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (discard) Shutdown(context.Context) error                  { return nil }
func (discard) ForceFlush(context.Context) error                { return nil }

// timed adds what redisotel lacks: a histogram of the kind that ogcache has.
func timed(get func(context.Context) ([]byte, error)) func(context.Context) ([]byte, error) {
	h := histogram()
	return func(ctx context.Context) ([]byte, error) {
		start := time.Now()
		v, err := get(ctx)
		h.Observe(time.Since(start).Seconds())
		return v, err
	}
}

// histogram returns a classic and native histogram of seconds.
func histogram() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "peer_operation_duration_seconds", Help: "Time spent in one GET.",
		Buckets:                         []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  240,
		NativeHistogramMinResetDuration: time.Hour,
	})
}
