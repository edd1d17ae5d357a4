package scenarios

import (
	"embed"
	"fmt"
)

// Script is a k6 script that comes with ogcache.
type Script struct {
	Name, Title string
}

// Scripts returns all scripts in the order in which they are listed.
func Scripts() []Script {
	return []Script{
		{"auth", "who is behind an access token"},
		{"profile", "a user reads their profile"},
		{"conversation", "a user opens a conversation"},
		{"menu", "anybody reads the menu"},
		{"api", "one start of the agent's chat: session, profile and conversations"},
		{"mix", "all of the application, reads and writes"},
	}
}

//go:embed scripts/*.js
var sources embed.FS

// Source returns the script's text.
func (s Script) Source() ([]byte, error) {
	text, err := sources.ReadFile("scripts/" + s.Name + ".js")
	if err != nil {
		return nil, fmt.Errorf("script %s: %w", s.Name, err)
	}
	return text, nil
}
