package origin

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

const postgresPort = 5432

// queryTracer opens a span for each query whose caller has a recording one. It
// tells the operation and the table, never the statement or its values.
type queryTracer struct {
	tracer trace.Tracer
	server []attribute.KeyValue // the same for all spans
}

var _ pgx.QueryTracer = (*queryTracer)(nil)

func newQueryTracer(provider trace.TracerProvider, c *pgx.ConnConfig) *queryTracer {
	t := &queryTracer{
		tracer: provider.Tracer("github.com/oglab/ogcache/internal/origin"),
		server: []attribute.KeyValue{
			semconv.DBSystemNamePostgreSQL, semconv.DBNamespace(c.Database), semconv.ServerAddress(c.Host),
		},
	}
	if c.Port != postgresPort {
		t.server = append(t.server, semconv.ServerPort(int(c.Port)))
	}
	return t
}

type statementKey struct{}

// withStatement tells a traced query what it is.
func withStatement(ctx context.Context, s *statement) context.Context {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx
	}
	return context.WithValue(ctx, statementKey{}, s)
}

type tracedKey struct{}

func (t *queryTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	// The pool probes a connection that was idle; that is no query of the caller.
	if !trace.SpanFromContext(ctx).IsRecording() || strings.HasPrefix(data.SQL, "--") {
		return ctx
	}
	s, ok := ctx.Value(statementKey{}).(*statement)
	if !ok {
		s = &statement{operation: firstWord(data.SQL)}
	}
	name := strings.TrimSpace(s.operation + " " + s.collection)
	attributes := append([]attribute.KeyValue{semconv.DBOperationName(s.operation)}, t.server...)
	if s.collection != "" {
		attributes = append(attributes, semconv.DBCollectionName(s.collection))
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	return context.WithValue(ctx, tracedKey{}, span)
}

func (t *queryTracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	span, ok := ctx.Value(tracedKey{}).(trace.Span)
	if !ok {
		return
	}
	if data.Err != nil {
		recordFailure(span, data.Err)
	}
	span.End()
}

// recordFailure tells the kind of an error; its text may hold values.
func recordFailure(span trace.Span, err error) {
	kind := "_OTHER"
	refused := new(pgconn.PgError)
	switch {
	case errors.As(err, &refused):
		kind = refused.Code
		span.SetAttributes(semconv.DBResponseStatusCode(kind))
	case errors.Is(err, context.Canceled):
		kind = "canceled"
	case errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		kind = "timeout"
	}
	span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	span.SetStatus(codes.Error, kind)
}

// firstWord returns a statement's keyword in capitals.
func firstWord(sql string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(sql), " ")
	return strings.ToUpper(word)
}
