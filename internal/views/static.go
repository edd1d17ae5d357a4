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
