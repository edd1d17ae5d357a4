package instrumented

import (
	"sync/atomic"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// view is what the cache keeps for one family: its policy, series, span
// templates, near cache and switch.
type view struct {
	*instruments
	family   *families.Family
	ttl      time.Duration // longest logical lifetime
	staleFor time.Duration // kept in Redis beyond it
	spans    [spanKinds]spanTemplate
	near     *near // nil: none
	off      atomic.Bool
}

func (c *Cache) view(f *families.Family) *view { return c.views[f] }

// Switch turns the cache off or on for the given families, or for all when
// none is given. While it is off, lookups are bypasses and nothing is stored;
// invalidations still reach Redis, so nothing is old when it is on again.
func (c *Cache) Switch(on bool, which ...*families.Family) {
	if len(which) == 0 {
		which = families.All()
	}
	for _, f := range which {
		v := c.view(f)
		if v.off.Swap(!on) == !on {
			continue
		}
		enabled := 0.0
		if on {
			enabled = 1
		}
		c.metrics.enabled.WithLabelValues(f.Name).Set(enabled)
		c.logger.Warn("the cache was switched", "family", f.Name, "on", on)
	}
}

// Enabled reports whether the family is switched on.
func (c *Cache) Enabled(f *families.Family) bool { return !c.view(f).off.Load() }
