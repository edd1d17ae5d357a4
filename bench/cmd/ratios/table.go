package main

import (
	"fmt"
	"io"
	"math"
)

// untargeted marks a comparison that is shown for completeness.
var untargeted = math.Inf(1)

// comparisons are the project's targets.
var comparisons = []comparison{
	{what: "instrumented hit: added time", benchmark: "InstrumentedHit", unit: "sec/op",
		ours: "ogcache", peer: "redisotel", over: "bare", most: 0.2},
	{what: "instrumented hit: added time", benchmark: "InstrumentedHit", unit: "sec/op",
		ours: "ogcache", peer: "redisotel-lean", over: "bare", most: untargeted},
	{what: "instrumented hit: added allocations", benchmark: "InstrumentedHit", unit: "allocs/op",
		ours: "ogcache", peer: "bare", by: difference, most: 2},
	{what: "hit, 64 callers, 1 KiB", benchmark: "ConcurrentHit", unit: "sec/op",
		ours: "ogcache", peer: "bare", most: 1.1},
	{what: "hit, 64 callers, 1 KiB", benchmark: "ConcurrentHit", unit: "sec/op",
		ours: "ogcache-batched", peer: "bare", most: 0.6},
	{what: "near-cache hit", benchmark: "NearHit", unit: "sec/op",
		ours: "ogcache", peer: "go-redis", most: 1},
	{what: "near-cache hit", benchmark: "NearHit", unit: "sec/op",
		ours: "ogcache", peer: "rueidis", most: 1},
	{what: "near-cache hit", benchmark: "NearHit", unit: "sec/op",
		ours: "ogcache", by: alone, most: 300e-9},
	{what: "near-cache hit: allocations", benchmark: "NearHit", unit: "allocs/op",
		ours: "ogcache", by: alone, most: 0},
	{what: "batch of 100 hits", benchmark: "BatchHit", unit: "sec/op",
		ours: "ogcache", peer: "singles", most: 0.1},
	{what: "batch of 100 hits", benchmark: "BatchHit", unit: "sec/op",
		ours: "ogcache", peer: "mget", most: 1.3},
	{what: "miss: round trips", benchmark: "AsideMiss/callers=1", unit: "trips/op",
		ours: "ogcache", peer: "naive", by: difference, most: 1},
	{what: "miss, 1 caller", benchmark: "AsideMiss/callers=1", unit: "sec/op",
		ours: "ogcache", peer: "naive", most: untargeted},
	{what: "hit, 1 caller", benchmark: "AsideHit/callers=1", unit: "sec/op",
		ours: "ogcache", peer: "go-redis-cache", most: 1},
	{what: "hit, 1 caller", benchmark: "AsideHit/callers=1", unit: "sec/op",
		ours: "ogcache", peer: "rueidisaside", most: 1},
	{what: "hit, 64 callers", benchmark: "AsideHit/callers=64", unit: "sec/op",
		ours: "ogcache", peer: "go-redis-cache", most: 1},
	{what: "hit, 64 callers", benchmark: "AsideHit/callers=64", unit: "sec/op",
		ours: "ogcache", peer: "rueidisaside", most: 1},
	{what: "hit, 64 callers", benchmark: "AsideHit/callers=64", unit: "sec/op",
		ours: "ogcache-batched", peer: "rueidisaside", most: 1},
	{what: "miss, 1 caller", benchmark: "AsideMiss/callers=1", unit: "sec/op",
		ours: "ogcache", peer: "go-redis-cache", most: 1},
	{what: "miss, 1 caller", benchmark: "AsideMiss/callers=1", unit: "sec/op",
		ours: "ogcache", peer: "rueidisaside", most: 1},
	{what: "miss, 64 callers", benchmark: "AsideMiss/callers=64", unit: "sec/op",
		ours: "ogcache", peer: "go-redis-cache", most: 1},
	{what: "miss, 64 callers", benchmark: "AsideMiss/callers=64", unit: "sec/op",
		ours: "ogcache", peer: "rueidisaside", most: 1},
	{what: "miss, 64 callers", benchmark: "AsideMiss/callers=64", unit: "sec/op",
		ours: "ogcache-batched", peer: "rueidisaside", most: 1},
}

// write prints the comparisons as a table.
func write(w io.Writer, m results, comparisons []comparison) error {
	if _, err := fmt.Fprint(w, "| What | Ours | | Peer | | Figure [95 %] | Target | Reached |\n|---|---|---|---|---|---|---|---|\n"); err != nil {
		return err
	}
	for _, c := range comparisons {
		o, measured, err := c.apply(m)
		if err != nil {
			return err
		}
		line := fmt.Sprintf("| %s | %s | – | %s | – | – | %s | not measured |", c.what, c.ours, orDash(c.peer), c.target())
		if measured {
			line = fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s |", c.what, c.ours, c.quantity(o.ours),
				orDash(c.peer), c.peerQuantity(o), c.interval(o), c.target(), c.verdict(o))
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

func (c comparison) peerQuantity(o outcome) string {
	if c.peer == "" {
		return "–"
	}
	return c.quantity(o.peer)
}

// interval formats the figure, and where the rounds suffice its interval.
func (c comparison) interval(o outcome) string {
	f := o.figure
	if math.IsInf(f.Lo, 0) || math.IsInf(f.Hi, 0) {
		return c.figure(f.Center)
	}
	return fmt.Sprintf("%s [%s, %s]", c.figure(f.Center), c.figure(f.Lo), c.figure(f.Hi))
}

func (c comparison) target() string {
	if c.most == untargeted {
		return "–"
	}
	return "≤ " + c.figure(c.most)
}

func (c comparison) verdict(o outcome) string {
	switch {
	case c.most == untargeted:
		return "–"
	case o.reached(c.most):
		return "yes"
	default:
		return "no"
	}
}
