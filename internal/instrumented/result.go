package instrumented

import "github.com/oglab/ogcache/internal/families"

// Result says how a lookup was answered. It is the label value, the word in
// Cache-Status and the key of every hit ratio.
type Result string

// The results of a lookup.
const (
	// Hit: Redis had the value.
	Hit Result = "hit"
	// NearHit: the in-process copy had the value.
	NearHit Result = "near_hit"
	// Stale: a value past its lifetime was served because the origin failed.
	Stale Result = "stale"
	// Miss: Redis answered that it has no usable value.
	Miss Result = "miss"
	// Bypass: the caller, or the configuration, went around the cache.
	Bypass Result = "bypass"
	// Error: Redis did not answer; the origin did the work.
	Error Result = "error"
)

// Results returns every result, in the order in which displays list them.
func Results() []Result { return []Result{Hit, NearHit, Stale, Miss, Bypass, Error} }

// Reasons a lookup was not a hit; the second label of ogcache_lookups_total.
const (
	reasonNone        = ""
	reasonUnknown     = "unknown"   // a miss whose cause cannot be told
	reasonDamaged     = "damaged"   // checksum, digest or decoding failed
	reasonRequested   = "requested" // a bypass that the caller asked for
	reasonNoCache     = "no_cache"  // a bypass because no Redis is configured
	reasonUnavailable = "unavailable"
	reasonTimeout     = "timeout"
	reasonOpen        = "breaker_open"
)

// Lookup is one key that a caller asked for, and how it was answered.
type Lookup struct {
	Family *families.Family
	Result Result
}
