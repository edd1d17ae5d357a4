package instrumented

import (
	"context"
	"net"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/oglab/ogcache/internal/families"
)

// spanKind is one kind of span that a family can have.
type spanKind uint8

const (
	spanGet spanKind = iota // a lookup by Get
	spanFetch
	spanLoad
	spanMGET
	spanSET
	spanEVALSHA
	spanEVAL
	spanDEL
	spanKinds
)

// named gives each kind the start of its name and, for exchanges with Redis,
// the command.
var named = [spanKinds]struct{ name, command string }{
	spanGet:     {name: "cache.get"},
	spanFetch:   {name: "cache.fetch"},
	spanLoad:    {name: "load"},
	spanMGET:    {"MGET", "MGET"},
	spanSET:     {"SET", "SET"},
	spanEVALSHA: {"EVALSHA", "EVALSHA"},
	spanEVAL:    {"EVAL", "EVAL"},
	spanDEL:     {"DEL", "DEL"},
}

// spanTemplate is what all spans of a kind and family have in common.
type spanTemplate struct {
	name    string
	options []trace.SpanStartOption
}

// spanTemplates follow OpenTelemetry's conventions for database clients. What
// those lack has Sentry's names (cache.hit, cache.item_size, cache.ttl).
func spanTemplates(f *families.Family, server []attribute.KeyValue) (all [spanKinds]spanTemplate) {
	for kind, n := range named {
		attributes := []attribute.KeyValue{attribute.String("ogcache.family", f.Name)}
		spanKind := trace.SpanKindInternal
		if n.command != "" {
			spanKind = trace.SpanKindClient
			attributes = append(attributes,
				attribute.String("db.system.name", "redis"), attribute.String("db.operation.name", n.command))
			attributes = append(attributes, server...)
		}
		all[kind] = spanTemplate{
			name:    n.name + " " + f.Name,
			options: []trace.SpanStartOption{trace.WithSpanKind(spanKind), trace.WithAttributes(attributes...)},
		}
	}
	return all
}

// span opens a span for one exchange with Redis, or for a load, under a
// recording parent, and returns what ends it.
func (c *Cache) span(ctx context.Context, v *view, kind spanKind) (context.Context, func(error)) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, func(error) {}
	}
	t := &v.spans[kind]
	ctx, s := c.tracer.Start(ctx, t.name, t.options...)
	return ctx, func(err error) {
		switch {
		case err == nil:
		case kind == spanLoad:
			// What a loader says of its failure may name ids and values.
			s.SetStatus(codes.Error, "the load failed")
		default:
			s.SetStatus(codes.Error, err.Error())
		}
		s.End()
	}
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
