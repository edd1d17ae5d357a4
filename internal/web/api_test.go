package web

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/keyspace"
	"github.com/oglab/ogcache/internal/origin"
)

const serviceToken = "a service token of some length"

// site is a server on an embedded Redis and origin.
type site struct {
	t     *testing.T
	url   string
	redis *miniredis.Miniredis
	users []origin.Identity
}

func openSite(t *testing.T) site {
	t.Helper()
	redis := miniredis.RunT(t)
	client, err := instrumented.NewRedis(instrumented.RedisOptions{Addrs: []string{redis.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	cache, err := instrumented.New(instrumented.Options{Redis: client, Budget: time.Minute, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	store := origin.NewMemory(origin.Population{Users: 10, Seed: 1})
	server, err := New(Options{
		Agent: agent.New(cache, store, store, agent.Options{WarmUsers: 10}), Cache: cache,
		Keyspace: keyspace.NewReader(client), ServiceToken: serviceToken, Registry: registry,
		TracerProvider: noop.NewTracerProvider(), Propagator: propagation.TraceContext{},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(server.Handler())
	t.Cleanup(func() {
		h.Close()
		cache.Close()
		client.Close()
	})
	return site{t: t, url: h.URL, redis: redis, users: store.Identities()}
}

// ask sends a request; headers are name and value in turn.
func (s site) ask(method, path, body string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer, string(text)
}

func (s site) as(user int) []string {
	return []string{"Authorization", "Bearer " + s.users[user].Token}
}

func TestTheGuidesCallsWork(t *testing.T) {
	s := openSite(t)
	for i := range 147 {
		if err := s.redis.Set("user:session:"+strings.Repeat("x", i+1), "somebody else's"); err != nil {
			t.Fatal(err)
		}
	}
	answer, text := s.ask("GET", "/api/cache", "")
	want := `{"available":true,"stats":{"totalKeys":147,"memoryUsage":"N/A","available":true},"message":"Cache statistics retrieved"}`
	if text != want || answer.Header.Get("Content-Type") != "application/json" {
		t.Errorf("GET /api/cache answered\n%s as %s, want\n%s", text, answer.Header.Get("Content-Type"), want)
	}
	form := []string{"Content-Type", "application/x-www-form-urlencoded"} // what curl -d sends
	for _, test := range []struct {
		body    string
		headers []string
		there   map[string]bool
	}{
		{`{"action": "warmup"}`, []string{"Content-Type", "application/json"}, map[string]bool{"menu:items": true, "user:profile:user_1": true}},
		{`{"action": "clear"}`, []string{"Content-Type", "application/json"}, map[string]bool{"menu:items": false, "user:session:x": true}},
		{`{"action": "warmup-menu"}`, form, map[string]bool{"menu:items": true, "user:profile:user_1": false}},
		{`{"action": "warmup"}`, nil, map[string]bool{"user:profile:user_1": true}},
		{`{"action": "clear-prefix", "prefix": "user:profile:"}`, form, map[string]bool{"user:profile:user_1": false, "menu:items": true}},
	} {
		answer, text := s.ask("POST", "/api/cache", test.body, test.headers...)
		var said struct{ Success bool }
		if err := json.Unmarshal([]byte(text), &said); err != nil || answer.StatusCode != http.StatusOK || !said.Success {
			t.Errorf("%s: %d %s", test.body, answer.StatusCode, text)
		}
		for key, there := range test.there {
			if s.redis.Exists(key) != there {
				t.Errorf("after %s: %s is there: %v, want %v", test.body, key, !there, there)
			}
		}
	}
}

func TestBadCacheCallsDeleteNothing(t *testing.T) {
	s := openSite(t)
	s.ask("POST", "/api/cache", `{"action":"warmup"}`)
	before := len(s.redis.Keys())
	if before < 21 {
		t.Fatalf("only %d keys to delete", before)
	}
	for name, test := range map[string]struct {
		body   string
		status int
	}{
		"empty":             {"", 400},
		"broken":            {`{"action":`, 400},
		"not an object":     {`["clear"]`, 400},
		"two values":        {`{"action":"clear"} {"action":"clear"}`, 400},
		"unknown action":    {`{"action":"flushall"}`, 400},
		"no action":         {`{}`, 400},
		"unknown field":     {`{"action":"clear","force":true}`, 400},
		"empty prefix":      {`{"action":"clear-prefix","prefix":""}`, 400},
		"no prefix":         {`{"action":"clear-prefix"}`, 400},
		"unknown prefix":    {`{"action":"clear-prefix","prefix":"users"}`, 400},
		"star":              {`{"action":"clear-prefix","prefix":"*"}`, 400},
		"prefix with clear": {`{"action":"clear","prefix":"user:profile:"}`, 400},
		"too large":         {`{"action":"clear","prefix":"` + strings.Repeat("x", 64<<10) + `"}`, 413},
		"large tail":        {`{"action":"clear"}` + strings.Repeat(" ", 64<<10), 413},
	} {
		answer, text := s.ask("POST", "/api/cache", test.body)
		var p problem
		if err := json.Unmarshal([]byte(text), &p); err != nil || answer.StatusCode != test.status || p.Status != test.status || p.Detail == "" {
			t.Errorf("%s: %d %s, want a problem document with %d and a detail", name, answer.StatusCode, text, test.status)
		}
		if answer.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: content type %q", name, answer.Header.Get("Content-Type"))
		}
	}
	if after := len(s.redis.Keys()); after != before {
		t.Errorf("%d keys are left of %d", after, before)
	}
}

func TestOutcomeIsInTheHeaders(t *testing.T) {
	s := openSite(t)
	for _, want := range []string{
		`ogcache; fwd=miss; detail="auth_token", ogcache; fwd=miss; detail="user_profile"`,
		`ogcache; hit; detail="auth_token", ogcache; hit; detail="user_profile"`,
	} {
		answer, text := s.ask("GET", "/api/profile", "", s.as(0)...)
		if got := answer.Header.Get("Cache-Status"); got != want || answer.StatusCode != 200 {
			t.Errorf("got %d %q (%s), want %q", answer.StatusCode, got, text, want)
		}
		if timing := answer.Header.Get("Server-Timing"); !strings.HasPrefix(timing, "total;dur=") {
			t.Errorf("Server-Timing is %q", timing)
		}
	}
	answer, _ := s.ask("GET", "/api/profile", "", append(s.as(0), "Ogcache-Mode", "bypass")...)
	want := `ogcache; fwd=bypass; detail="auth_token/bypass", ogcache; fwd=bypass; detail="user_profile/bypass"`
	if got := answer.Header.Get("Cache-Status"); got != want {
		t.Errorf("a bypass answered %q, want %q", got, want)
	}
	if answer, _ := s.ask("GET", "/api/profile", "", append(s.as(0), "Ogcache-Mode", "off")...); answer.StatusCode != 400 {
		t.Errorf("an unknown mode got %d, want 400", answer.StatusCode)
	}
}

func TestEveryOperationOfTheAPI(t *testing.T) {
	s := openSite(t)
	me, other := s.users[0], s.users[1]
	for _, test := range []struct {
		method, path, body string
		headers            []string
		status             int
		says               string
	}{
		{"GET", "/api/menu", "", nil, 200, `"priceCents"`},
		{"GET", "/api/auth/session", "", nil, 401, `"detail"`},
		{"GET", "/api/auth/session", "", []string{"Authorization", "Basic eA=="}, 401, `"detail"`},
		{"GET", "/api/auth/session", "", s.as(0), 200, me.UserID},
		{"GET", "/api/profile", "", s.as(0), 200, me.TelegramID},
		{"PATCH", "/api/profile", `{"name":"Renamed"}`, s.as(0), 200, `"name":"Renamed"`},
		{"GET", "/api/profile", "", s.as(0), 200, `"name":"Renamed"`},
		{"PATCH", "/api/profile", `{"userId":"somebody"}`, s.as(0), 400, "userId"},
		{"PATCH", "/api/profile", `{"name":""}`, s.as(0), 400, "name"},
		{"PATCH", "/api/profile", `{"telegramId":"` + other.TelegramID + `"}`, s.as(0), 409, "Telegram"},
		{"GET", "/api/telegram/" + me.TelegramID, "", s.as(0), 200, me.UserID},
		{"GET", "/api/telegram/" + other.TelegramID, "", s.as(0), 404, "not yours"},
		{"GET", "/api/telegram/" + other.TelegramID, "", []string{"Authorization", "Bearer " + serviceToken}, 200, other.UserID},
		{"GET", "/api/telegram/a%3Ab", "", s.as(0), 400, "id"},
		{"GET", "/api/conversations", "", s.as(0), 200, me.Conversations[0]},
		{"GET", "/api/conversations/" + me.Conversations[0], "", s.as(0), 200, `"messages"`},
		{"GET", "/api/conversations/" + other.Conversations[0], "", s.as(0), 404, "not yours"},
		{"GET", "/api/conversations/absent", "", s.as(0), 404, "not yours"},
		{"POST", "/api/conversations/" + me.Conversations[0] + "/messages", `{"text":"Hello there"}`, s.as(0), 201, "Hello there"},
		{"GET", "/api/conversations/" + me.Conversations[0], "", s.as(0), 200, "Hello there"},
		{"POST", "/api/conversations/" + other.Conversations[0] + "/messages", `{"text":"x"}`, s.as(0), 404, "not yours"},
		{"POST", "/api/conversations/" + me.Conversations[0] + "/messages", `{"text":""}`, s.as(0), 400, "text"},
		{"GET", "/api/agent/context", "", s.as(0), 200, "Renamed"},
		{"GET", "/api/bootstrap", "", s.as(0), 200, `"conversations"`},
		{"GET", "/api/bootstrap", "", s.as(1), 200, other.UserID},
		{"POST", "/api/auth/logout", "", s.as(0), 204, ""},
		{"GET", "/api/auth/session", "", s.as(0), 401, `"detail"`},
		{"GET", "/api/bootstrap", "", s.as(0), 401, `"detail"`},
		{"GET", "/api/nothing", "", nil, 404, "no such address"},
	} {
		answer, text := s.ask(test.method, test.path, test.body, test.headers...)
		if answer.StatusCode != test.status || !strings.Contains(text, test.says) {
			t.Errorf("%s %s %s: %d %.300s, want %d with %q", test.method, test.path, test.body, answer.StatusCode, text, test.status, test.says)
		}
		if answer.StatusCode >= 400 && answer.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: an error as %q", test.method, test.path, answer.Header.Get("Content-Type"))
		}
	}
}

func TestOnlyThisMachineIsAnswered(t *testing.T) {
	s := openSite(t)
	for name, test := range map[string]struct {
		headers []string
		status  int
	}{
		"localhost":        {[]string{"Host", "localhost:3001"}, 200},
		"IPv4":             {[]string{"Host", "127.0.0.1"}, 200},
		"IPv6":             {[]string{"Host", "[::1]:3001"}, 200},
		"rebound name":     {[]string{"Host", "evil.example"}, 403},
		"lookalike":        {[]string{"Host", "localhost.evil.example"}, 403},
		"forwarded":        {[]string{"Forwarded", "for=10.0.0.1"}, 403},
		"forwarded for":    {[]string{"X-Forwarded-For", "10.0.0.1"}, 403},
		"forwarded host":   {[]string{"X-Forwarded-Host", "x"}, 403},
		"forwarded scheme": {[]string{"X-Forwarded-Proto", "https"}, 403},
	} {
		for _, path := range []string{"/api/cache", "/", "/metrics"} {
			if answer, text := s.ask("GET", path, "", test.headers...); answer.StatusCode != test.status {
				t.Errorf("%s: GET %s got %d %.200s, want %d", name, path, answer.StatusCode, text, test.status)
			}
		}
	}
	for name, headers := range map[string][]string{
		"cross site":   {"Sec-Fetch-Site", "cross-site"},
		"other origin": {"Origin", "https://evil.example"},
	} {
		if answer, _ := s.ask("POST", "/api/cache", `{"action":"clear"}`, headers...); answer.StatusCode != 403 {
			t.Errorf("%s: a clear got %d, want 403", name, answer.StatusCode)
		}
		if answer, _ := s.ask("POST", "/actions/warmup", "", headers...); answer.StatusCode != 403 {
			t.Errorf("%s: a warm-up got %d, want 403", name, answer.StatusCode)
		}
	}
}

func TestMetricsAndHealth(t *testing.T) {
	s := openSite(t)
	s.ask("GET", "/api/menu", "")
	answer, text := s.ask("GET", "/metrics", "", "Accept", "application/openmetrics-text; version=1.0.0")
	if !strings.Contains(text, `ogcache_lookups_total{family="menu_items",reason="first_seen",result="miss"} 1.0`) ||
		!strings.Contains(text, `ogcache_operation_duration_seconds_bucket{family="menu_items",operation="fetch",result="miss"`) ||
		!strings.HasPrefix(answer.Header.Get("Content-Type"), "application/openmetrics-text") {
		t.Errorf("as %s:\n%.2000s", answer.Header.Get("Content-Type"), text)
	}
	if _, text := s.ask("GET", "/healthz", ""); text != "ok\n" {
		t.Errorf("/healthz says %q", text)
	}
	answer, text = s.ask("GET", "/readyz", "")
	if want := `{"ready":true,"database":"ok","redis":"ok","draining":false}`; text != want || answer.StatusCode != 200 {
		t.Errorf("/readyz says %d %s, want %s", answer.StatusCode, text, want)
	}
	s.redis.Close()
	for range 20 { // until the breaker has seen enough
		if answer, text := s.ask("GET", "/api/menu", ""); answer.StatusCode != 200 {
			t.Fatalf("without Redis the menu is %d %s", answer.StatusCode, text)
		}
	}
	answer, text = s.ask("GET", "/readyz", "")
	if want := `{"ready":true,"database":"ok","redis":"unavailable","draining":false}`; text != want || answer.StatusCode != 200 {
		t.Errorf("without Redis /readyz says %d %s, want %s", answer.StatusCode, text, want)
	}
	want := `{"available":false,"stats":{"totalKeys":0,"memoryUsage":"N/A","available":false},"message":"Cache statistics retrieved"}`
	if _, text := s.ask("GET", "/api/cache", ""); text != want {
		t.Errorf("without Redis GET /api/cache answers %s, want %s", text, want)
	}
	if answer, _ := s.ask("POST", "/api/cache", `{"action":"clear"}`); answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" {
		t.Errorf("without Redis a clear got %d", answer.StatusCode)
	}
}

func TestUnreachableDatabaseIsUnready(t *testing.T) {
	s := &Server{Options: Options{
		Logger:   slog.New(slog.DiscardHandler),
		Database: func(context.Context) error { return io.ErrUnexpectedEOF },
	}}
	var err error
	if s.Cache, err = instrumented.New(instrumented.Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Cache.Close()
	w := httptest.NewRecorder()
	s.ready(w, httptest.NewRequest("GET", "/readyz", nil))
	if want := `{"ready":false,"database":"unavailable","redis":"not configured","draining":false}`; w.Code != 503 || w.Body.String() != want {
		t.Errorf("got %d %s, want 503 %s", w.Code, w.Body, want)
	}
}

func TestOnlyLoopbackAddressesAreServed(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:3001": true, "[::1]:3001": true, "localhost:0": true,
		"0.0.0.0:3001": false, ":3001": false, "192.0.2.1:3001": false, "example.com:80": false, "3001": false,
	} {
		if err := RequireLoopback(addr); (err == nil) != ok {
			t.Errorf("%s: %v, want accepted: %v", addr, err, ok)
		}
	}
}
