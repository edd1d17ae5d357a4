package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/oglab/ogcache/internal/views"
)

// assets serves static files under URLs that contain a digest of their
// contents, so that a browser may keep them for ever.
type assets struct {
	urls  map[string]string // URL path by file path
	files map[string]asset  // by URL path
}

type asset struct {
	contentType string
	plain       []byte
	gzipped     []byte // nil where compression does not pay
}

const assetPrefix = "/static/"

func newAssets(files fs.FS) (*assets, error) {
	a := &assets{urls: make(map[string]string), files: make(map[string]asset)}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		contentType, ok := contentTypes[path.Ext(name)]
		if !ok {
			return fmt.Errorf("%s: no content type is known for this kind of file", name)
		}
		digest := sha256.Sum256(content)
		ext := path.Ext(name)
		url := assetPrefix + strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(digest[:6]) + ext
		file := asset{contentType: contentType, plain: content}
		if small := compress(content); len(small) < len(content) {
			file.gzipped = small
		}
		a.urls[name], a.files[url] = url, file
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("static files: %w", err)
	}
	return a, nil
}

// contentTypes are spelled out: what the machine has registered for an
// extension varies.
var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
	".txt": "text/plain; charset=utf-8",
}

func compress(content []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
	_, _ = z.Write(content)                               // a buffer does not fail
	_ = z.Close()
	return b.Bytes()
}

// forPages returns the URLs that pages need.
func (a *assets) forPages() views.Assets {
	return views.Assets{
		Style:  a.urls["style.css"],
		Script: a.urls["dashboard.js"],
		Htmx:   a.urls["vendor/htmx-4.0.1.min.js"],
		SSE:    a.urls["vendor/hx-sse-4.0.1.min.js"],
		Icon:   a.urls["icon.svg"],
	}
}

func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	file, ok := a.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", file.contentType)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	content := file.plain
	if file.gzipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		content = file.gzipped
	}
	_, _ = w.Write(content) // the client may have left
}
