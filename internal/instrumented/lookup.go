package instrumented

import (
	"context"
	"net"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/oglab/ogcache/internal/families"
)

// lookup is one key that a caller asked for, from the question to the answer.
type lookup struct {
	cache  *Cache
	ctx    context.Context // bears the lookup's span
	span   trace.Span      // nil without a recording parent
	key    families.Key
	op     operation
	start  time.Time
	result Result
	reason string
	size   int // of what Redis returned, bytes
}

func (c *Cache) begin(ctx context.Context, key families.Key, op operation) lookup {
	l := lookup{cache: c, ctx: ctx, key: key, op: op, start: time.Now()}
	if trace.SpanFromContext(ctx).IsRecording() {
		l.ctx, l.span = c.tracer.Start(ctx, "cache."+string(op)+" "+key.Family().Name,
			trace.WithAttributes(attribute.String("ogcache.family", key.Family().Name)))
		if key.Family().Public {
			l.span.SetAttributes(attribute.String("cache.key", key.String()))
		}
	}
	return l
}

func (l *lookup) is(result Result, reason string) { l.result, l.reason = result, reason }

// end counts, times and reports the lookup.
func (l *lookup) end() {
	c, f := l.cache, l.key.Family()
	c.metrics.lookup(f, l.result, l.reason)
	c.metrics.operation(f, l.op, l.result, time.Since(l.start), l.ctx)
	requestFrom(l.ctx).add(Lookup{f, l.result})
	c.observer.Lookup(l.ctx, l.key, l.result)
	if l.span == nil {
		return
	}
	l.span.SetAttributes(
		attribute.Bool("cache.hit", l.result == Hit || l.result == NearHit || l.result == Stale),
		attribute.String("ogcache.result", string(l.result)),
	)
	if l.reason != reasonNone {
		l.span.SetAttributes(attribute.String("ogcache.reason", l.reason))
	}
	if l.size > 0 {
		l.span.SetAttributes(attribute.Int("cache.item_size", l.size))
	}
	l.span.End()
}

// serverAttributes names a Redis server as OpenTelemetry's conventions do.
func serverAttributes(address string) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return []attribute.KeyValue{attribute.String("server.address", address)}
	}
	attributes := []attribute.KeyValue{attribute.String("server.address", host)}
	if n, err := strconv.Atoi(port); err == nil {
		attributes = append(attributes, attribute.Int("server.port", n))
	}
	return attributes
}

// span opens a span for one exchange with Redis, or for a load, under a
// recording parent, and returns what ends it.
func (c *Cache) span(ctx context.Context, name string, f *families.Family) (context.Context, func(error)) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, func(error) {}
	}
	attributes := []attribute.KeyValue{attribute.String("ogcache.family", f.Name)}
	kind := trace.SpanKindInternal
	if name != "load" {
		kind = trace.SpanKindClient
		attributes = append(attributes,
			attribute.String("db.system.name", "redis"), attribute.String("db.operation.name", name))
		attributes = append(attributes, c.server...)
	}
	ctx, s := c.tracer.Start(ctx, name+" "+f.Name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	return ctx, func(err error) {
		switch {
		case err == nil:
		case kind == trace.SpanKindInternal:
			// What a loader says of its failure may name ids and values.
			s.SetStatus(codes.Error, "the load failed")
		default:
			s.SetStatus(codes.Error, err.Error())
		}
		s.End()
	}
}
