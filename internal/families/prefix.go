package families

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnknownPrefix is wrapped by the error for a prefix that no family has.
var ErrUnknownPrefix = errors.New("unknown prefix")

// ByPrefix returns the families that have keys starting with a literal prefix:
// one that a family's prefix begins ("user:profile:", "user:profile:u1"), or a
// whole group of them, ending in a colon ("user:"). An empty or unknown prefix
// is an error wrapping ErrUnknownPrefix that names the known ones.
func ByPrefix(prefix string) ([]*Family, error) {
	if prefix == "" {
		return nil, fmt.Errorf("%w: it is empty; known are %s", ErrUnknownPrefix, knownPrefixes())
	}
	var found []*Family
	for _, f := range table {
		whole := f.Prefix + f.Single
		switch {
		case f.Single == "" && strings.HasPrefix(prefix, f.Prefix),
			f.Single != "" && prefix == whole,
			strings.HasSuffix(prefix, ":") && strings.HasPrefix(f.Prefix, prefix):
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: no family has keys that start with %q; known are %s",
			ErrUnknownPrefix, clip(prefix, 64), knownPrefixes())
	}
	return found, nil
}

func knownPrefixes() string {
	var names []string
	for _, f := range table {
		names = append(names, f.Prefix)
	}
	return strings.Join(names, ", ")
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
