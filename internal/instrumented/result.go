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
	// Stale: a value past its lifetime was served.
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

// Lookup is one key that a caller asked for, and how it was answered.
type Lookup struct {
	Family *families.Family
	Result Result
}

// outcome is a result together with the reason for it. The constants are all
// that exist, so they are all the label pairs of ogcache_lookups_total.
type outcome uint8

const (
	hit outcome = iota
	nearHit

	staleRevalidating // just expired; a refresh is under way
	staleOriginSlow   // the load was not done within the soft timeout
	staleOriginFailed // the load failed

	missFirstSeen   // this process has no memory of the key
	missExpired     // its lifetime is over
	missInvalidated // dropped by this process
	missLost        // gone otherwise: evicted, flushed, or dropped elsewhere
	missRefused     // the last fill was refused: invalidated while it loaded
	missError       // the last fill failed
	missUnknown     // the record of this key was overwritten
	missDamaged     // checksum, digest or decoding failed
	missOutdated    // stored by a program with another type or format

	bypassRequested // by the caller
	bypassNoCache   // no Redis is configured
	bypassOff       // the family is switched off

	errorOpen        // the breaker is open
	errorTimeout     // the budget was used up
	errorUnavailable // Redis refused or failed
	errorUntrusted   // invalidations are being caught up with
	errorPending     // the key's own invalidation waits for Redis

	outcomes
)

// explained names the label pair of each outcome.
var explained = [outcomes]struct {
	result Result
	reason string
}{
	hit:     {Hit, ""},
	nearHit: {NearHit, ""},

	staleRevalidating: {Stale, "revalidating"},
	staleOriginSlow:   {Stale, "origin_slow"},
	staleOriginFailed: {Stale, "origin_failed"},

	missFirstSeen:   {Miss, "first_seen"},
	missExpired:     {Miss, "expired"},
	missInvalidated: {Miss, "invalidated"},
	missLost:        {Miss, "lost"},
	missRefused:     {Miss, "refused"},
	missError:       {Miss, "error"},
	missUnknown:     {Miss, "unknown"},
	missDamaged:     {Miss, "damaged"},
	missOutdated:    {Miss, "outdated"},

	bypassRequested: {Bypass, "requested"},
	bypassNoCache:   {Bypass, "no_cache"},
	bypassOff:       {Bypass, "switched_off"},

	errorOpen:        {Error, "breaker_open"},
	errorTimeout:     {Error, "timeout"},
	errorUnavailable: {Error, "unavailable"},
	errorUntrusted:   {Error, "untrusted"},
	errorPending:     {Error, "invalidation_pending"},
}

func (o outcome) result() Result { return explained[o].result }
func (o outcome) reason() string { return explained[o].reason }

// served reports whether the cache, and not the origin, gave the answer.
func (o outcome) served() bool { return o <= staleOriginFailed }
