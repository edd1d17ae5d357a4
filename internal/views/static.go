package views

import (
	"embed"
	"io/fs"
)

//go:embed static
var static embed.FS

// Static returns the files that pages refer to, by their path below static/.
func Static() fs.FS {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic("views: embedded static files: " + err.Error()) // the path is a constant
	}
	return files
}

// htmxConfig keeps htmx from inserting styles, evaluating attributes or keeping
// a history, and bounds how long it waits before it reconnects.
const htmxConfig = `{"includeIndicatorCSS":false,"history":false,"extensions":"sse",` +
	`"sse":{"reconnectDelay":1000,"reconnectMaxDelay":5000,"connectTimeout":5000}}`
