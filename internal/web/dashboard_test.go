package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/keyspace"
	"github.com/oglab/ogcache/internal/views"
)

// stand is a dashboard on fakes, behind its own routes.
type stand struct {
	*dashboard
	client *fakeClient
	keys   *fakeKeys
	mux    *http.ServeMux
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{client: &fakeClient{}, keys: &fakeKeys{count: 1204}, mux: http.NewServeMux()}
	files, err := newAssets(views.Static())
	if err != nil {
		t.Fatal(err)
	}
	warm := warmsUp(func(_ context.Context, progress func(int, int)) (agent.WarmupResult, error) {
		return agent.WarmupResult{Loaded: 3}, nil
	})
	a := newActions(warm, s.keys, discard)
	o := newOverview(s.client, s.keys, nil, views.Surroundings{}, a.current)
	s.dashboard = &dashboard{assets: files, overview: o, actions: a, cache: s.client, logger: discard}
	s.hub = newHub(o.sample, func(ctx context.Context) ([]views.Fragment, error) { return o.current().Fragments(ctx) },
		func(err error) { t.Errorf("rendering: %v", err) })
	for _, r := range s.routes() {
		s.mux.HandleFunc(r.pattern, r.handler)
	}
	t.Cleanup(func() { s.close(context.Background()) })
	return s
}

func (s *stand) ask(method, target, form string, htmx bool) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(form))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if htmx {
		r.Header.Set("HX-Request", "true")
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w
}

// settle waits for the running action's end.
func (s *stand) settle(t *testing.T) views.Action {
	t.Helper()
	s.actions.mu.Lock()
	ended := s.actions.ended
	s.actions.mu.Unlock()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the action did not end")
	}
	return s.actions.current()
}

func TestPageIsServed(t *testing.T) {
	s := newStand(t)
	w := s.ask("GET", "/", "", false)
	body := w.Body.String()
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, headers %v", w.Code, w.Header())
	}
	for _, f := range families.All() {
		if !strings.Contains(body, `id="family-`+f.Name+`"`) {
			t.Errorf("no row of %s", f.Name)
		}
	}
	for _, url := range s.assets.urls {
		if strings.Contains(body, url) {
			if got := s.ask("GET", url, "", false).Code; got != http.StatusOK {
				t.Errorf("%s: status %d", url, got)
			}
		}
	}
	if got := s.ask("GET", "/nothing", "", false).Code; got != http.StatusNotFound {
		t.Errorf("an unknown page: status %d", got)
	}
}

func TestActionsWorkWithoutJavaScript(t *testing.T) {
	s := newStand(t)
	for path, title := range map[string]string{"/actions/warmup": "Warm up everything", "/actions/warmup-menu": "Warm up menu"} {
		w := s.ask("POST", path, "", false)
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/#actions" {
			t.Errorf("%s: status %d to %q", path, w.Code, w.Header().Get("Location"))
		}
		if a := s.settle(t); a.Title != title || a.Failed {
			t.Errorf("%s: %+v", path, a)
		}
	}
	if body := s.ask("GET", "/", "", false).Body.String(); !strings.Contains(body, "loaded 3 entries") {
		t.Error("the page does not tell the outcome")
	}
	if got := s.ask("GET", "/actions/warmup", "", false).Code; got != http.StatusMethodNotAllowed {
		t.Errorf("warming up by GET: status %d", got)
	}
}

func TestActionsAnswerHtmxWithAFragment(t *testing.T) {
	s := newStand(t)
	w := s.ask("POST", "/actions/warmup", "", true)
	if body := w.Body.String(); w.Code != http.StatusOK || !strings.HasPrefix(body, `<div id="action"`) {
		t.Errorf("status %d: %s", w.Code, body)
	}
	w = s.ask("GET", "/actions/clear?what=all", "", true)
	if body := w.Body.String(); strings.Contains(body, "<html") || !strings.Contains(body, "Remove 1,204 keys") {
		t.Errorf("the dialog is %s", body)
	}
}

func TestClearAsksFirst(t *testing.T) {
	s := newStand(t)
	s.keys.snapshot = keyspace.Snapshot{TakenAt: time.Now(), Families: map[string]keyspace.FamilyKeys{"user_profile": {Keys: 777}}}
	page := s.ask("GET", "/actions/clear?what=all", "", false).Body.String()
	for _, want := range []string{"<html", "Remove 1,204 keys?", "user_profile", "777", "Analytics is kept", `name="what" value="all"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the confirmation lacks %q", want)
		}
	}
	if w := s.ask("POST", "/actions/clear", "what=all", false); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/actions/clear?what=all" {
		t.Errorf("unconfirmed: status %d to %q", w.Code, w.Header().Get("Location"))
	}
	if len(s.keys.cleared) != 0 {
		t.Fatal("something was cleared without a confirmation")
	}
	if w := s.ask("POST", "/actions/clear", "prefix=user%3Aprofile%3A&confirmed=yes", false); w.Code != http.StatusSeeOther {
		t.Errorf("confirmed: status %d", w.Code)
	}
	if a := s.settle(t); a.Failed || !strings.HasPrefix(a.Outcome, "removed 1,204 keys") || !strings.Contains(a.Title, "user:profile:") {
		t.Errorf("%+v", a)
	}
	want, err := keyspace.Prefix("user:profile:")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.keys.cleared) != 1 || fmt.Sprint(s.keys.cleared[0]) != fmt.Sprint(want) {
		t.Errorf("cleared %v, want %v", s.keys.cleared, want)
	}
}

func TestClearRefusesWhatItDoesNotKnow(t *testing.T) {
	const hostile = `<script>alert(1)</script>`
	s := newStand(t)
	for name, c := range map[string]struct {
		form url.Values
		says string
	}{
		"nothing":        {url.Values{}, "Choose either a family or a prefix."},
		"both":           {url.Values{"what": {"all"}, "prefix": {"menu:"}}, "Choose either"},
		"empty prefix":   {url.Values{"prefix": {""}}, "Choose either"},
		"unknown family": {url.Values{"what": {hostile}}, "There is no family of that name."},
		"unknown prefix": {url.Values{"prefix": {hostile}}, "That prefix is not one of"},
		"wildcard":       {url.Values{"prefix": {"*"}}, "That prefix is not one of"},
	} {
		for _, htmx := range []bool{false, true} {
			asked := s.ask("GET", "/actions/clear?"+c.form.Encode(), "", htmx)
			c.form.Set("confirmed", "yes")
			sent := s.ask("POST", "/actions/clear", c.form.Encode(), htmx)
			c.form.Del("confirmed")
			for _, w := range []*httptest.ResponseRecorder{asked, sent} {
				if body := w.Body.String(); w.Code != http.StatusBadRequest || !strings.Contains(body, c.says) || strings.Contains(body, hostile) {
					t.Errorf("%s: status %d: %s", name, w.Code, body)
				}
			}
		}
	}
	w := s.ask("POST", "/actions/clear", "confirmed=yes&what=all&x="+strings.Repeat("x", maxBody), false)
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "64 KiB") {
		t.Errorf("too large: status %d", w.Code)
	}
	if len(s.keys.cleared) != 0 {
		t.Errorf("cleared %v", s.keys.cleared)
	}
}

// A prefix within a family is valid whatever follows; it must be shown as text.
func TestHostilePrefixIsEscaped(t *testing.T) {
	const hostile = `user:profile:<img src=x onerror=alert(1)>"`
	s := newStand(t)
	body := s.ask("GET", "/actions/clear?"+url.Values{"prefix": {hostile}}.Encode(), "", false).Body.String()
	if strings.Contains(body, "<img") || !strings.Contains(body, "&lt;img") {
		t.Errorf("the prefix is not escaped: %s", body)
	}
}

func TestSecondActionIsRefusedInWords(t *testing.T) {
	s := newStand(t)
	s.keys.gate = make(chan struct{})
	s.ask("POST", "/actions/clear", "what=all&confirmed=yes", false)
	w := s.ask("POST", "/actions/warmup", "", false)
	if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "“Clear everything” is still running") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	w = s.ask("POST", "/actions/warmup", "", true)
	if w.Code != http.StatusConflict || w.Header().Get("HX-Retarget") != "#confirm" {
		t.Errorf("htmx: status %d, headers %v", w.Code, w.Header())
	}
	s.ask("POST", "/actions/cancel", "", false)
	if a := s.settle(t); a.Running || !strings.HasPrefix(a.Outcome, "was cancelled") {
		t.Errorf("cancelled: %+v", a)
	}
}

func TestClearWithoutRedis(t *testing.T) {
	s := newStand(t)
	s.client.down = true
	if w := s.ask("GET", "/actions/clear?what=all", "", false); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "Redis is not available") {
		t.Errorf("away: status %d", w.Code)
	}
	s.client.down, s.keys.err = false, errors.New("password=secret")
	if w := s.ask("GET", "/actions/clear?what=all", "", false); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("failing: status %d", w.Code)
	}
	s.actions.keys = nil
	for _, r := range []string{"/actions/warmup", "/actions/clear"} {
		if w := s.ask("POST", r, "what=all&confirmed=yes", false); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "No Redis is configured") {
			t.Errorf("%s without Redis: status %d", r, w.Code)
		}
	}
}

func FuzzChoice(f *testing.F) {
	for _, seed := range [][2]string{{"all", ""}, {"menu_items", ""}, {"", "user:"}, {"", "user:profile:*"}, {"x", "y"}, {"", "\xff"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, what, prefix string) {
		c, err := choiceOf(url.Values{"what": {what}, "prefix": {prefix}})
		if err != nil {
			if text := sentence(err); !strings.HasSuffix(text, ".") {
				t.Errorf("%q is not a sentence", text)
			}
			return
		}
		again := make(url.Values)
		for _, field := range c.fields {
			again.Set(field.Name, field.Value)
		}
		same, err := choiceOf(again)
		if err != nil || same.title != c.title || len(c.families) == 0 || len(same.families) != len(c.families) {
			t.Errorf("%+v came back as %+v, %v", c, same, err)
		}
	})
}
