package testenv

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// page serves HTML under a content security policy.
func page(t *testing.T, html string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "script-src 'nonce-n'; style-src 'self'; img-src 'self' data: http://example.com")
		fmt.Fprint(w, "<!doctype html><link rel=icon href=data:,>"+html)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestChromiumShowsAPage(t *testing.T) {
	t.Parallel()
	url := page(t, `<title>Hello</title><script nonce=n>console.log("fine"); console.warn("still fine")</script>`)
	ctx := Chromium(t, "--window-size=800,600")
	var title string
	var width int
	if err := chromedp.Run(ctx, chromedp.Navigate(url), chromedp.Title(&title), chromedp.Evaluate("innerWidth", &width)); err != nil {
		t.Fatal(err)
	}
	if title != "Hello" || width != 800 {
		t.Errorf("got title %q, width %d, want %q, 800", title, width, "Hello")
	}
}

func TestChromiumComplaintsFailTheTest(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ html, want string }{
		"console.error":  {`<script nonce=n>console.error("broken", {a: 1}, 7)</script>`, "error: broken Object 7"},
		"console.assert": {`<script nonce=n>console.assert(1 > 2, "wrong")</script>`, "assert: wrong"},
		"exception":      {`<script nonce=n>throw new Error("oops")</script>`, "Error: oops"},
		"rejection":      {`<script nonce=n>Promise.reject(new Error("later"))</script>`, "Error: later"},
		"inline script":  {`<script>1</script>`, "Content Security Policy"},
		"inline style":   {`<p style="color: red">x</p>`, "Content Security Policy"},
		"not found":      {`<img src=/nothing.png>`, "404"},
		"outside world":  {`<img src=http://example.com/x.png>`, "ERR_NAME_NOT_RESOLVED"},
	} {
		t.Run(name, func(t *testing.T) {
			url := page(t, tt.html)
			got := record(t, func(tb testing.TB) {
				if err := chromedp.Run(Chromium(tb), chromedp.Navigate(url)); err != nil {
					tb.Errorf("navigating: %v", err)
				}
			})
			if len(got) != 1 || !strings.Contains(got[0], tt.want) {
				t.Errorf("got %q, want one complaint with %q", got, tt.want)
			}
		})
	}
}
