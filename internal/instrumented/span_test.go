package instrumented

import (
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/oglab/ogcache/internal/families"
)

func attributesOf(s sdktrace.ReadOnlySpan) map[attribute.Key]attribute.Value {
	all := make(map[attribute.Key]attribute.Value)
	for _, a := range s.Attributes() {
		all[a.Key] = a.Value
	}
	return all
}

func TestSpansTellWhatHappenedAndNotToWhom(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	c, _ := openEmbedded(t, Options{TracerProvider: provider})
	profiles := For[profile](c, families.UserProfile)

	if _, err := profiles.Fetch(t.Context(), "user_0", returns(profile{Name: "Ann"})); err != nil {
		t.Fatal(err)
	}
	if n := len(recorder.Ended()); n != 0 {
		t.Errorf("%d spans without a recording parent", n)
	}

	ctx, root := provider.Tracer("test").Start(t.Context(), "request")
	for range 2 {
		if _, err := profiles.Fetch(ctx, "user_1", returns(profile{Name: "Secretive"})); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := For[profile](c, families.MenuItems).Fetch(ctx, "items", returns(profile{})); err != nil {
		t.Fatal(err)
	}
	root.End()

	spans := make(map[string][]sdktrace.ReadOnlySpan)
	for _, s := range recorder.Ended() {
		spans[s.Name()] = append(spans[s.Name()], s)
		for key, v := range attributesOf(s) {
			if text := v.String(); strings.Contains(text, "user_1") || strings.Contains(text, "Secretive") {
				t.Errorf("span %q tells %s=%s", s.Name(), key, text)
			}
		}
	}
	fetches := spans["cache.fetch user_profile"]
	if len(fetches) != 2 {
		t.Fatalf("spans are %v", spans)
	}
	for i, hit := range []bool{false, true} {
		a := attributesOf(fetches[i])
		if a["cache.hit"].AsBool() != hit || a["ogcache.family"].AsString() != "user_profile" || fetches[i].Parent().SpanID() != root.SpanContext().SpanID() {
			t.Errorf("fetch %d has %v", i, a)
		}
	}
	if attributesOf(fetches[1])["cache.item_size"].AsInt64() == 0 {
		t.Error("a hit does not tell its size")
	}
	for name, kind := range map[string]trace.SpanKind{
		"SET user_profile": trace.SpanKindClient, "EVALSHA user_profile": trace.SpanKindClient, "load user_profile": trace.SpanKindInternal,
	} {
		if len(spans[name]) != 1 || spans[name][0].SpanKind() != kind || spans[name][0].Parent().SpanID() != fetches[0].SpanContext().SpanID() {
			t.Errorf("%q: %d spans, want one of kind %v below the missing fetch", name, len(spans[name]), kind)
			continue
		}
		a := attributesOf(spans[name][0])
		if kind == trace.SpanKindClient && (a["db.system.name"].AsString() != "redis" || a["server.address"].AsString() != "127.0.0.1" ||
			a["server.port"].AsInt64() == 0 || a["db.operation.name"].AsString() != strings.Fields(name)[0]) {
			t.Errorf("%q has %v", name, a)
		}
	}
	if ttl := attributesOf(spans["EVALSHA user_profile"][0])["cache.ttl"].AsFloat64(); ttl < 270 || ttl > 300 {
		t.Errorf("the fill tells a TTL of %v s", ttl)
	}
	if key := attributesOf(spans["cache.fetch menu_items"][0])["cache.key"].AsString(); key != "menu:items" {
		t.Errorf("the public key is %q", key)
	}
}
