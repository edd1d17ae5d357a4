package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/oglab/ogcache/internal/origin"
	"github.com/oglab/ogcache/internal/testenv"
)

// startDemo starts the demo on a free port and returns where it is.
func startDemo(t *testing.T, args ...string) (*testenv.Process, string) {
	t.Helper()
	args = append([]string{"demo", "--addr", "127.0.0.1:0"}, args...)
	p := testenv.Start(t, testenv.Build(t, "./cmd/dashboard"), args...)
	return p, p.WaitLine(30*time.Second, `ogcache demo on (http://\S+) .*embedded: Redis`)[1]
}

// get returns the body of an answer that must have the status.
func get(t *testing.T, status int, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != status {
		t.Fatalf("GET %s: %d %.300s (%v), want %d", url, answer.StatusCode, text, err, status)
	}
	return string(text)
}

// post sends a body as curl -d does and returns the answer's.
func post(t *testing.T, status int, url, body string) string {
	t.Helper()
	answer, err := http.Post(url, "application/x-www-form-urlencoded", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != status {
		t.Fatalf("POST %s %s: %d %.300s (%v), want %d", url, body, answer.StatusCode, text, err, status)
	}
	return string(text)
}

func TestDemoInABrowser(t *testing.T) {
	_, url := startDemo(t, "--traffic", "100")
	browser := testenv.Chromium(t)
	run := func(what string, actions ...chromedp.Action) {
		t.Helper()
		ctx, cancel := context.WithTimeout(browser, 45*time.Second)
		defer cancel()
		if err := chromedp.Run(ctx, actions...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	var before, after string
	run("loading the overview",
		chromedp.Navigate(url),
		chromedp.WaitVisible(`[data-figure="hits"]`),
		chromedp.Text(`[data-figure="hits"]`, &before))
	run("seeing the hits move", chromedp.Poll(
		`document.querySelector('[data-figure="hits"]').innerText !== `+quoted(before), nil, chromedp.WithPollingTimeout(30*time.Second)))
	run("warming up",
		chromedp.Click(`form[action="/actions/warmup"] button`),
		chromedp.Poll(`/loaded|warm/i.test(document.querySelector('#outcome').innerText)`, nil, chromedp.WithPollingTimeout(30*time.Second)))
	run("asking to clear the profiles",
		chromedp.SetValue(`#clear-what`, "user_profile"),
		chromedp.Click(`#clear-what ~ button`),
		chromedp.WaitVisible(`dialog[open] form[action="/actions/clear"]`),
		chromedp.Text(`dialog[open]`, &after))
	if !regexp.MustCompile(`[1-9][\d,]*\s+keys`).MatchString(after) {
		t.Errorf("the confirmation does not say how many keys will go:\n%s", after)
	}
	run("clearing them",
		chromedp.Click(`dialog[open] form[action="/actions/clear"] button[type="submit"]`),
		chromedp.Poll(`/removed/i.test(document.querySelector('#outcome').innerText)`, nil, chromedp.WithPollingTimeout(30*time.Second)))
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // a string always can be
	return string(b)
}

func TestDemoAnswersTheGuidesCalls(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	p, url := startDemo(t, "--traffic", "off", "--network", "none", "--tokens", tokens)
	post(t, 200, url+"/api/cache", `{"action": "warmup"}`)
	text := get(t, 200, url+"/api/cache")
	if !regexp.MustCompile(`^\{"available":true,"stats":\{"totalKeys":[1-9]\d*,"memoryUsage":"N/A","available":true\},"message":"Cache statistics retrieved"\}$`).MatchString(text) {
		t.Errorf("GET /api/cache: %s", text)
	}
	for _, body := range []string{`{"action": "warmup-menu"}`, `{"action": "clear-prefix", "prefix": "user:profile:"}`,
		`{"action": "clear-prefix", "prefix": "conversation:"}`, `{"action": "clear"}`} {
		post(t, 200, url+"/api/cache", body)
	}
	people, err := origin.ReadIdentities(tokens)
	if err != nil || len(people) != 2000 {
		t.Fatalf("%d tokens were written, %v", len(people), err)
	}
	if info, err := os.Stat(tokens); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the tokens' file is %v, %v; want mode 0600", info.Mode(), err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/api/bootstrap", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+people[7].Token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Errorf("a written token got %d", answer.StatusCode)
	}
	p.WaitLine(10*time.Second, `💾 Cached profile: user_`)
	p.WaitLine(10*time.Second, `⚡ Menu cache hit|💾 Cached menu`)
	if code := p.Stop(os.Interrupt, 10*time.Second); code != exitOK {
		t.Errorf("Ctrl-C ended the demo with %d, want 0", code)
	}
	if strings.Contains(p.Output(), people[7].Token[60:]) {
		t.Error("a token is in the output")
	}
}

func TestTakenPortIsOneLine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := testenv.Start(t, testenv.Build(t, "./cmd/dashboard"), "demo", "--addr", l.Addr().String())
	if code := p.Wait(20 * time.Second); code != exitFailed {
		t.Errorf("exit code %d, want 1", code)
	}
	if out := strings.TrimSpace(p.Output()); strings.Count(out, "\n") != 0 || !strings.Contains(out, "is taken") {
		t.Errorf("it says:\n%s", out)
	}
}

func TestWrongUsage(t *testing.T) {
	bin := testenv.Build(t, "./cmd/dashboard")
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitUsage, "Usage: dashboard"},
		{[]string{"--help"}, exitOK, "Exit codes"},
		{[]string{"demo", "--help"}, exitOK, "-network"},
		{[]string{"fly"}, exitUsage, `unknown command "fly"`},
		{[]string{"demo", "--speed", "1"}, exitUsage, "-speed"},
		{[]string{"demo", "--traffic", "lots"}, exitUsage, "--traffic"},
		{[]string{"demo", "--network", "moon"}, exitUsage, "none or guide"},
		{[]string{"demo", "--addr", "0.0.0.0:3001"}, exitUsage, "loopback"},
		{[]string{"demo", "extra"}, exitUsage, "extra"},
		{[]string{"clear", "--prefix", "nonsense"}, exitUsage, "known are"},
		{[]string{"clear", "--prefix", ""}, exitUsage, "empty"},
		{[]string{"clear", "--family", "cats"}, exitUsage, "user_profile"},
		{[]string{"clear", "--family", "user_profile", "--prefix", "user:profile:"}, exitUsage, "not both"},
		{[]string{"seed"}, exitUsage, "--tokens"},
		{[]string{"serve"}, exitFailed, "DATABASE_URL"},
		{[]string{"warmup"}, exitFailed, "⚠️ Upstash Redis credentials not found"},
	} {
		p := testenv.Start(t, bin, test.args...)
		if code := p.Wait(20 * time.Second); code != test.code || !strings.Contains(p.Output(), test.says) {
			t.Errorf("dashboard %q: exit %d, want %d with %q:\n%s", test.args, code, test.code, test.says, p.Output())
		}
	}
}
