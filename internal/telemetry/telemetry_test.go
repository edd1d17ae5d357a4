package telemetry

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
)

func key(t *testing.T, f *families.Family, id string) families.Key {
	t.Helper()
	k, err := f.Key(id)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func logger(t *testing.T, w io.Writer, format string, level slog.Level) *slog.Logger {
	t.Helper()
	l, err := NewLogger(w, format, level)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// messages returns the lines without their time.
func messages(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		_, message, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		lines = append(lines, message)
	}
	return lines
}

func TestTheGuidesLines(t *testing.T) {
	var out bytes.Buffer
	l := NewLines(logger(t, &out, "text", slog.LevelInfo), 0)
	ctx := t.Context()
	digest := families.TokenDigest("a token")
	l.Lookup(ctx, key(t, families.UserProfile, "user_123"), instrumented.Hit)
	l.Lookup(ctx, key(t, families.ConversationByID, "conv_456"), instrumented.Hit)
	l.Lookup(ctx, key(t, families.MenuItems, "items"), instrumented.Hit)
	l.Stored(ctx, key(t, families.UserProfile, "user_789"))
	l.Dropped(ctx, key(t, families.UserProfile, "user_123"))
	l.Lookup(ctx, key(t, families.AuthToken, digest), instrumented.Hit)
	l.Lookup(ctx, key(t, families.AuthToken, digest), instrumented.Miss)
	l.Stored(ctx, key(t, families.MenuItems, "items"))
	want := []string{
		"⚡ Profile from Redis: user_123", "⚡ Conversation from Redis: conv_456", "⚡ Menu cache hit",
		"💾 Cached profile: user_789", "🗑️ Invalidated cache for profile: user_123", "⚡ Session from Redis",
		"💾 Cached menu",
	}
	if got := messages(out.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the log is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	out.Reset()
	verbose := NewLines(logger(t, &out, "json", slog.LevelDebug), 0)
	verbose.Lookup(ctx, key(t, families.AuthToken, digest), instrumented.Miss)
	verbose.Lookup(ctx, key(t, families.UserProfile, "user_1"), instrumented.Miss)
	if text := out.String(); !strings.Contains(text, `"❌ Cache miss: profile user_1"`) || strings.Contains(text, digest) {
		t.Errorf("at debug the log is\n%s", text)
	}
}

func TestLinesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := NewLines(logger(t, &out, "text", slog.LevelInfo), 10)
		k := key(t, families.UserProfile, "u")
		for range 25 {
			l.Lookup(t.Context(), k, instrumented.Hit)
		}
		time.Sleep(time.Second) // the bubble's clock
		l.Lookup(t.Context(), k, instrumented.Hit)
		l.Lookup(t.Context(), k, instrumented.Hit)
		got := messages(out.String())
		if len(got) != 12 || got[10] != "⚡ Profile from Redis: u suppressed=15" || got[11] != "⚡ Profile from Redis: u" {
			t.Errorf("%d lines were written, the last ones %q", len(got), got[10:])
		}
	})
}

func TestTextIsOneLinePerRecord(t *testing.T) {
	var out bytes.Buffer
	l := logger(t, &out, "text", slog.LevelInfo)
	l.Debug("unseen")
	l.Info("forged\n12:00:00 line\x1b[31m", "key", "two\nlines", "n", 3, "empty", "")
	l.With("a", "b c").WithGroup("g").Warn("grouped", "x", 1, slog.Group("in", "y", 2))
	want := []string{
		`forged\n12:00:00 line\x1b[31m key="two\nlines" n=3 empty=""`,
		`WARN grouped a="b c" g.x=1 g.in.y=2`,
	}
	if got := messages(out.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the log is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	out.Reset()
	logger(t, &out, "json", slog.LevelInfo).Info("hello", "n", 1)
	var record map[string]any
	if err := json.Unmarshal(out.Bytes(), &record); err != nil || record["msg"] != "hello" || record["n"] != 1.0 {
		t.Errorf("JSON is %s (%v)", out.String(), err)
	}
	if _, err := NewLogger(&out, "yaml", slog.LevelInfo); err == nil {
		t.Error("an unknown format was accepted")
	}
}

func TestNothingConfiguredRecordsNothingButPassesContextOn(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"nothing":  {},
		"disabled": {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"},
		"none":     {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range env {
				t.Setenv(k, v)
			}
			traces, err := SetupTraces(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
			ctx := traces.Propagator.Extract(t.Context(), propagation.MapCarrier{"traceparent": parent})
			ctx, span := traces.TracerProvider.Tracer("test").Start(ctx, "span")
			if span.IsRecording() {
				t.Error("a span is recorded")
			}
			out := propagation.MapCarrier{}
			traces.Propagator.Inject(ctx, out)
			if out["traceparent"] != parent {
				t.Errorf("passed on %q, want %q", out["traceparent"], parent)
			}
			if err := traces.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSpansReachTheCollectorAtTheEnd(t *testing.T) {
	received := make(chan []byte, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		received <- body
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_on")
	traces, err := SetupTraces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, span := traces.TracerProvider.Tracer("test").Start(t.Context(), "the span of this test")
	span.End()
	if err := traces.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if body := string(<-received); !strings.Contains(body, "the span of this test") || !strings.Contains(body, "ogcache") {
		t.Errorf("the collector received %q", body)
	}
}
