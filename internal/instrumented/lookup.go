package instrumented

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/oglab/ogcache/internal/families"
)

// lookup is one key that a caller asked for, from the question to the answer.
type lookup struct {
	cache   *Cache
	view    *view
	ctx     context.Context // bears the lookup's span
	request *Request        // nil without one
	span    trace.Span      // nil without a recording parent
	key     families.Key
	digest  uint64 // of the key; 0 until it is needed
	op      operation
	start   time.Time
	outcome outcome
	size    int // of what Redis returned, bytes
}

func (c *Cache) begin(ctx context.Context, v *view, key families.Key, op operation) lookup {
	l := lookup{cache: c, view: v, ctx: ctx, request: requestFrom(ctx), key: key, op: op, start: time.Now()}
	if trace.SpanFromContext(ctx).IsRecording() {
		kind := spanGet
		if op == opFetch {
			kind = spanFetch
		}
		t := &v.spans[kind]
		l.ctx, l.span = c.tracer.Start(ctx, t.name, t.options...)
		if v.family.Public {
			l.span.SetAttributes(attribute.String("cache.key", key.String()))
		}
	}
	return l
}

// end counts, times and reports the lookup.
func (l *lookup) end() {
	result := l.outcome.result()
	l.view.lookups[l.outcome].Inc()
	l.view.operation(l.ctx, l.op, result, time.Since(l.start))
	l.request.add(Lookup{l.view.family, result})
	if l.cache.observer != nil {
		l.cache.observer.Lookup(l.ctx, l.key, result)
	}
	if l.span == nil {
		return
	}
	l.span.SetAttributes(
		attribute.Bool("cache.hit", l.outcome.served()),
		attribute.String("ogcache.result", string(result)),
	)
	if reason := l.outcome.reason(); reason != "" {
		l.span.SetAttributes(attribute.String("ogcache.reason", reason))
	}
	if l.size > 0 {
		l.span.SetAttributes(attribute.Int("cache.item_size", l.size))
	}
	l.span.End()
}
