package ogcache

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/origin"
	"github.com/oglab/ogcache/internal/scenarios"
)

func TestOutcomeIsReadFromTheHeaders(t *testing.T) {
	for name, test := range map[string]struct {
		field []string
		want  []instrumented.Lookup
		fails bool
	}{
		"none": {},
		"two members": {
			field: []string{`ogcache; hit; detail="auth_token", ogcache; fwd=miss; detail="user_profile"`},
			want:  []instrumented.Lookup{{Family: families.AuthToken, Result: instrumented.Hit}, {Family: families.UserProfile, Result: instrumented.Miss}},
		},
		"two fields": {
			field: []string{`ogcache; hit; detail="menu_items/near_hit"`, `ogcache; hit; detail="menu_items/stale"`},
			want:  []instrumented.Lookup{{Family: families.MenuItems, Result: instrumented.NearHit}, {Family: families.MenuItems, Result: instrumented.Stale}},
		},
		"bypass and error": {
			field: []string{`ogcache; fwd=bypass; detail="conversation/bypass", ogcache; fwd=miss; detail="conversation/error"`},
			want:  []instrumented.Lookup{{Family: families.ConversationByID, Result: instrumented.Bypass}, {Family: families.ConversationByID, Result: instrumented.Error}},
		},
		"another cache on the way": {field: []string{`cdn.example; hit, ogcache; hit; detail="menu_items"`},
			want: []instrumented.Lookup{{Family: families.MenuItems, Result: instrumented.Hit}}},
		"malformed":      {field: []string{`ogcache; hit; detail="menu`}, fails: true},
		"unknown family": {field: []string{`ogcache; hit; detail="cats"`}, fails: true},
		"unknown result": {field: []string{`ogcache; hit; detail="menu_items/purred"`}, fails: true},
		"no detail":      {field: []string{`ogcache; hit`}, fails: true},
	} {
		got, err := readCacheStatus(test.field)
		if (err != nil) != test.fails || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, %v; want %v, an error: %v", name, got, err, test.want, test.fails)
		}
	}
}

func TestServerTimingIsRead(t *testing.T) {
	for field, want := range map[string]time.Duration{
		"total;dur=1.500, redis;dur=0.3": 1500 * time.Microsecond,
		"redis;dur=0.3,total;dur=2":      2 * time.Millisecond,
		"total":                          0,
		"total;dur=-1":                   0,
		"total;dur=soon":                 0,
		"":                               0,
	} {
		if got := readServerTiming([]string{field}); got != want {
			t.Errorf("%q is %v, want %v", field, got, want)
		}
	}
}

func FuzzReadCacheStatus(f *testing.F) {
	f.Add(`ogcache; hit; detail="auth_token", ogcache; fwd=miss; detail="user_profile"`)
	f.Add(`ogcache;;;`)
	f.Add(`("ogcache" ogcache); detail=?1`)
	f.Fuzz(func(t *testing.T, field string) {
		lookups, err := readCacheStatus([]string{field})
		if err != nil && lookups != nil {
			t.Errorf("%q gave both %v and %v", field, lookups, err)
		}
		for _, l := range lookups {
			if l.Family == nil || !slices.Contains(instrumented.Results(), l.Result) {
				t.Errorf("%q gave %+v", field, l)
			}
		}
	})
}

func TestEveryOperationHasItsCall(t *testing.T) {
	type seen struct{ method, path, auth, mode string }
	var got []seen
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, seen{r.Method, r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Ogcache-Mode")})
		w.Header().Set("Cache-Status", `ogcache; hit; detail="menu_items"`)
		if strings.Contains(r.URL.Path, absent) {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	d := newHTTPDriver(server.URL+"/", []origin.Identity{{UserID: "u", TelegramID: "42", Conversations: []string{"c0", "c1"}, Token: "secret"}})
	for _, test := range []struct {
		event  scenarios.Event
		want   seen
		status int
	}{
		{scenarios.Event{Operation: scenarios.Auth}, seen{"GET", "/api/auth/session", "Bearer secret", ""}, 200},
		{scenarios.Event{Operation: scenarios.Telegram}, seen{"GET", "/api/telegram/42", "Bearer secret", ""}, 200},
		{scenarios.Event{Operation: scenarios.Conversation, Conversation: 3}, seen{"GET", "/api/conversations/c1", "Bearer secret", ""}, 200},
		{scenarios.Event{Operation: scenarios.Conversation, Absent: true}, seen{"GET", "/api/conversations/absent", "Bearer secret", ""}, 404},
		{scenarios.Event{Operation: scenarios.AddMessage}, seen{"POST", "/api/conversations/c0/messages", "Bearer secret", ""}, 200},
		{scenarios.Event{Operation: scenarios.UpdateProfile}, seen{"PATCH", "/api/profile", "Bearer secret", ""}, 200},
	} {
		got = nil
		o, err := d.do(t.Context(), test.event, false)
		if err != nil || o.status != test.status || len(got) != 1 || got[0] != test.want || len(o.lookups) != 1 {
			t.Errorf("%+v: %+v, %v, seen %+v; want %+v", test.event, o, err, got, test.want)
		}
	}
	for _, op := range scenarios.Operations() {
		got = nil
		if _, err := d.do(t.Context(), scenarios.Event{Operation: op}, true); err != nil || len(got) != 1 || got[0].mode != "bypass" {
			t.Errorf("%s around the cache: %v, seen %+v", op, err, got)
		}
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	hangUp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusOK)
		panic(http.ErrAbortHandler)
	}))
	defer hangUp.Close()
	d := newHTTPDriver(hangUp.URL, []origin.Identity{{}})
	if _, err := d.do(t.Context(), scenarios.Event{Operation: scenarios.Menu}, false); err == nil {
		t.Error("half an answer was taken for one")
	}
	gone := newHTTPDriver("http://127.0.0.1:1", []origin.Identity{{}})
	if _, err := gone.do(t.Context(), scenarios.Event{Operation: scenarios.Menu}, false); err == nil {
		t.Error("no server answered")
	}
	for _, status := range []int{401, 404, 500, 503} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		o, err := newHTTPDriver(server.URL, []origin.Identity{{}}).do(t.Context(), scenarios.Event{Operation: scenarios.Menu}, false)
		if err != nil || o.status != status {
			t.Errorf("a %d came back as %+v, %v", status, o, err)
		}
		server.Close()
	}
}

func TestSettings(t *testing.T) {
	env := map[string]string{"TARGET": "http://127.0.0.1:3001", "ALPHA": "0.5", "SEED": "9", "MODE": "both"}
	s, err := parseSettings(map[string]any{"operation": "profile", "alpha": 0.9, "tokens": nil}, env)
	if err != nil || s.Target != env["TARGET"] || s.Alpha != 0.9 || s.Seed != 9 || s.Mode != modeBoth || s.Operation != "profile" {
		t.Errorf("got %+v, %v", s, err)
	}
	for says, given := range map[string]map[string]any{
		"no target":               {},
		"more than one target":    {"target": "http://x", "lab": true},
		"belong together":         {"redis": "redis://x"},
		"http://":                 {"target": "localhost"},
		"mode is":                 {"lab": true, "mode": "sometimes"},
		"unknown operation":       {"lab": true, "operation": "fly"},
		"alpha is":                {"lab": true, "alpha": -1},
		"unknown field \"speed\"": {"lab": true, "speed": 1},
	} {
		if _, err := parseSettings(given, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want an error that says %q", given, err, says)
		}
	}
	if _, err := parseSettings(map[string]any{"lab": true}, map[string]string{"USERS": "many"}); err == nil {
		t.Error("USERS=many was accepted")
	}
}
