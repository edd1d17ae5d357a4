package config

import (
	"strconv"
	"strings"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// maxStaleFor bounds how long past its lifetime a value may be served.
const maxStaleFor = 24 * time.Hour

// staleFor reads pairs like "menu_items=30m,user_profile=2m".
func (r *reader) staleFor() map[*families.Family]time.Duration {
	const name, form = "OGCACHE_STALE_FOR", "; expected FAMILY=DURATION pairs such as menu_items=30m,user_profile=2m"
	var all map[*families.Family]time.Duration
	for _, pair := range list(r.get(name)) {
		family, text, _ := strings.Cut(pair, "=")
		f, known := families.ByName(strings.TrimSpace(family))
		d, err := time.ParseDuration(strings.TrimSpace(text))
		switch {
		case !known:
			r.fail(name, "names an unknown family"+form)
		case err != nil || d < 0 || d > maxStaleFor:
			r.fail(name, "has no duration from 0 to 24h for "+f.Name+form)
		case f == families.AuthToken && d > 0:
			r.fail(name, "is set for auth_token, but sessions are never served past their lifetime"+form)
		default:
			if all == nil {
				all = make(map[*families.Family]time.Duration)
			}
			all[f] = d
		}
	}
	return all
}

// off reads "all" or the names of families.
func (r *reader) off() (off []*families.Family) {
	const name = "OGCACHE_OFF"
	for _, item := range list(r.get(name)) {
		if item == "all" {
			return families.All()
		}
		f, known := families.ByName(item)
		if !known {
			r.fail(name, "names an unknown family; expected all, or families such as menu_items,user_profile")
			continue
		}
		off = append(off, f)
	}
	return off
}

func list(s string) (items []string) {
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// count reads a whole number from 1, 0 when it is not set.
func (r *reader) count(name string, highest int) int {
	v := r.get(name)
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > highest {
		r.fail(name, "is no such number; expected a whole number from 1 to "+strconv.Itoa(highest))
		return 0
	}
	return n
}
