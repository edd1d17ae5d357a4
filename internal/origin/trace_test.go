package origin

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func tracedPostgres(t *testing.T) (*Postgres, *tracetest.SpanRecorder, trace.Tracer) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	p, _ := openPostgres(t, PostgresOptions{TracerProvider: provider})
	if _, err := p.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustSeed(t, p, Population{Users: 2, Seed: 1})
	return p, recorder, provider.Tracer("test")
}

func TestQuerySpans(t *testing.T) {
	p, recorder, tracer := tracedPostgres(t)
	// Nothing so far had a parent.
	if _, err := p.Menu(t.Context()); err != nil {
		t.Fatal(err)
	}
	unsampled, end := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())).Tracer("test").Start(t.Context(), "unsampled")
	if _, err := p.Menu(unsampled); err != nil {
		t.Fatal(err)
	}
	end.End()
	if spans := recorder.Ended(); len(spans) != 0 {
		t.Fatalf("%d spans without a recording parent", len(spans))
	}

	ctx, parent := tracer.Start(t.Context(), "parent")
	telegram := Population{Seed: 1}.person(2).profile.TelegramID
	calls := []struct {
		name   string
		call   func() error
		status string
	}{
		{"SELECT ogcache.users", func() error { _, err := p.Profile(ctx, "user_1"); return err }, ""},
		{"SELECT ogcache.users", func() error { _, err := p.Profile(ctx, "secretuser"); return ignoreError(err) }, ""},
		{"INSERT ogcache.messages", func() error { _, _, err := p.AddMessage(ctx, "conv_1_1", "user_1", "user", "secrettext"); return err }, ""},
		{"UPDATE ogcache.users", func() error {
			_, _, err := p.UpdateProfile(ctx, "user_1", ProfilePatch{TelegramID: &telegram})
			return ignoreError(err)
		}, uniqueViolation},
		{"SELECT", func() error { _, err := p.pool.Exec(ctx, "select 1/0"); return ignoreError(err) }, "22012"},
	}
	for i, c := range calls {
		if err := c.call(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		spans := recorder.Ended()
		if len(spans) != i+1 {
			t.Fatalf("%s: %d spans, want %d", c.name, len(spans), i+1)
		}
		span := spans[i]
		if span.Name() != c.name || span.SpanKind() != trace.SpanKindClient || span.Parent().SpanID() != parent.SpanContext().SpanID() {
			t.Errorf("span %q of kind %v, want %q, a client's, below its parent", span.Name(), span.SpanKind(), c.name)
		}
		got := map[attribute.Key]string{}
		for _, a := range span.Attributes() {
			got[a.Key] = a.Value.String()
		}
		operation, collection, _ := strings.Cut(c.name, " ")
		config := p.pool.Config().ConnConfig
		want := map[attribute.Key]string{
			"db.system.name": "postgresql", "db.operation.name": operation, "db.collection.name": collection,
			"server.address": "127.0.0.1", "db.namespace": config.Database,
			"db.response.status_code": c.status, "error.type": c.status,
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s is %q, want %q", c.name, key, got[key], value)
			}
		}
		if got["server.port"] == "" {
			t.Errorf("%s: no port, which is not the usual one", c.name)
		}
		if failed := span.Status().Code == codes.Error; failed != (c.status != "") {
			t.Errorf("%s: status %v", c.name, span.Status())
		}
		everything := span.Name() + span.Status().Description
		for key, value := range got {
			everything += string(key) + value
		}
		for _, secret := range []string{"user_1", "secret", telegram, "select", "$1"} {
			if strings.Contains(everything, secret) {
				t.Errorf("%s: the span shows %q", c.name, secret)
			}
		}
		if len(span.Events()) > 0 {
			t.Errorf("%s: the span has events", c.name)
		}
	}
}

func ignoreError(error) error { return nil }

func TestQuerySpanOfACancelledCall(t *testing.T) {
	p, recorder, tracer := tracedPostgres(t)
	ctx, parent := tracer.Start(t.Context(), "parent")
	defer parent.End()
	ctx, cancel := context.WithCancel(ctx)
	tx, err := p.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if _, err := tx.Exec(t.Context(), "lock table ogcache.menu_items"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { _, err := p.Menu(ctx); done <- err }()
	// It is under way once the span is open.
	for len(recorder.Started()) < 2 {
		select {
		case err := <-done:
			t.Fatalf("the locked table was read: %v", err)
		default:
		}
	}
	cancel()
	if err := <-done; err == nil {
		t.Fatal("no error")
	}
	spans := recorder.Ended()
	if len(spans) != 1 || spans[0].Status().Description != "canceled" {
		t.Errorf("spans %v", spans)
	}
}
