package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/oglab/ogcache/internal/views"
)

func TestAssetsAreServedUnderTheirDigest(t *testing.T) {
	content := strings.Repeat("a{color:red}", 100)
	a, err := newAssets(fstest.MapFS{"style.css": {Data: []byte(content)}})
	if err != nil {
		t.Fatal(err)
	}
	url := a.urls["style.css"]
	if !strings.HasPrefix(url, "/static/style.") || url == "/static/style.css" {
		t.Fatalf("URL %q has no digest", url)
	}
	for _, encoding := range []string{"", "gzip"} {
		r := httptest.NewRequest("GET", url, nil)
		r.Header.Set("Accept-Encoding", encoding)
		w := httptest.NewRecorder()
		a.serve(w, r)
		h := w.Result().Header
		if got := h.Get("Content-Encoding"); got != encoding {
			t.Errorf("accepting %q: encoded as %q", encoding, got)
		}
		var body io.Reader = w.Body
		if encoding == "gzip" {
			if body, err = gzip.NewReader(w.Body); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := io.ReadAll(body); err != nil || string(got) != content {
			t.Errorf("accepting %q: %d bytes, %v", encoding, len(got), err)
		}
		if !strings.Contains(h.Get("Cache-Control"), "immutable") || h.Get("Content-Type") != "text/css; charset=utf-8" {
			t.Errorf("headers %v", h)
		}
	}
	w := httptest.NewRecorder()
	a.serve(w, httptest.NewRequest("GET", "/static/style.css", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("without the digest: status %d", w.Code)
	}
}

func TestAssetsOfUnknownKindAreRefused(t *testing.T) {
	if _, err := newAssets(fstest.MapFS{"a.exe": {}}); err == nil || !strings.Contains(err.Error(), "a.exe") {
		t.Errorf("error %v does not name the file", err)
	}
}

func TestPagesFindTheirAssets(t *testing.T) {
	a, err := newAssets(views.Static())
	if err != nil {
		t.Fatal(err)
	}
	p := a.forPages()
	for name, url := range map[string]string{"style": p.Style, "script": p.Script, "htmx": p.Htmx, "sse": p.SSE, "icon": p.Icon} {
		if _, ok := a.files[url]; !ok {
			t.Errorf("%s: no file behind %q", name, url)
		}
	}
}
