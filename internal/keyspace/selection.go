package keyspace

import (
	"strings"
	"unicode/utf8"

	"github.com/oglab/ogcache/internal/families"
)

// Selection is a set of ogcache's keys. No selection contains a key that is
// not ogcache's.
type Selection struct {
	prefix  string // literal
	matches func(*families.Family) bool
}

// Everything selects all families' keys but those of families that are kept.
func Everything() Selection {
	return Selection{matches: func(f *families.Family) bool { return !f.Keep }}
}

// Prefix selects the keys that start with a literal prefix. One that is empty,
// or that no family has, is an error that wraps families.ErrUnknownPrefix.
func Prefix(prefix string) (Selection, error) {
	if _, err := families.ByPrefix(prefix); err != nil {
		return Selection{}, err
	}
	return Selection{prefix: prefix, matches: func(*families.Family) bool { return true }}, nil
}

// Family selects one family's keys.
func Family(f *families.Family) Selection {
	return Selection{prefix: f.Prefix, matches: func(of *families.Family) bool { return of == f }}
}

func (s Selection) contains(key string) bool {
	if !strings.HasPrefix(key, s.prefix) {
		return false
	}
	f, ok := families.Of(key)
	return ok && s.matches(f)
}

// pattern is the glob that spares the server sending most of what contains
// refuses. It ends where the prefix stops being ASCII: not every server matches
// arbitrary bytes.
func (s Selection) pattern() string {
	plain := s.prefix
	if i := strings.IndexFunc(plain, func(r rune) bool { return r >= utf8.RuneSelf }); i >= 0 {
		plain = plain[:i]
	}
	return escapeGlob(plain) + "*"
}

// escapeGlob makes a text match itself in a pattern of SCAN.
func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}
