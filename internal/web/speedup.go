package web

import (
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/views"
)

// claim is a line of the guide's table of speed-ups.
type claim struct {
	title  string
	family *families.Family // nil: the API response, which is a whole request
	factor float64
}

// apiOperation is the name that the API response's durations are recorded under.
const apiOperation = "api"

func claims() []claim {
	return []claim{
		{"Authorisation", families.AuthToken, 30},
		{"User profile", families.UserProfile, 33},
		{"Conversations", families.ConversationByID, 40},
		{"Menu", families.MenuItems, 66},
		{"API response", nil, 30},
	}
}

// speedupOf compares loads with hits, by their medians since the start, and
// what both mean for all recent lookups of the claims' families together.
func speedupOf(now instrumented.Stats, recent []views.Family, network views.Network) views.Speedup {
	var s views.Speedup
	var lookups views.Lookups
	var without, with float64 // seconds that all recent lookups take
	for _, c := range claims() {
		if c.family == nil {
			s.Operations = append(s.Operations, apiResponse(c, now.Requests[apiOperation], network))
			continue
		}
		stats := now.Families[c.family.Name]
		op := views.Operation{
			Title: c.title, Of: c.family.Name, Claimed: c.factor,
			Uncached: latencyOf(stats.Origin, 0.5), Cached: latencyOf(stats.Hit, 0.5),
			Emulated: network.Origin[c.family.Name],
		}
		s.Operations = append(s.Operations, op)
		if !op.Uncached.OK || !op.Cached.OK {
			continue
		}
		missed := latencyOf(stats.Miss, 0.5)
		if !missed.OK {
			missed = op.Uncached
		}
		for _, f := range recent {
			if f.Name != c.family.Name {
				continue
			}
			hits, misses := float64(f.Recent.Hits), float64(f.Recent.Misses+f.Recent.Stale)
			without += (hits + misses) * op.Uncached.Seconds
			with += hits*op.Cached.Seconds + misses*missed.Seconds
			lookups = lookups.Add(f.Recent)
		}
	}
	s.Ratio, s.MeanOK = lookups.Ratio()
	s.MeanOK = s.MeanOK && with > 0
	if s.MeanOK {
		s.Mean = without / with
	}
	return s
}

// apiResponse compares whole requests. Uncached are those that went around the
// cache or, while there were none, those in which a lookup missed.
func apiResponse(c claim, requests map[instrumented.Result]instrumented.Histogram, network views.Network) views.Operation {
	uncached := requests[instrumented.Bypass]
	if uncached.Count() == 0 {
		uncached = requests[instrumented.Miss]
	}
	op := views.Operation{
		Title: c.title, Of: "/api/bootstrap", Claimed: c.factor,
		Uncached: latencyOf(uncached, 0.5), Cached: latencyOf(requests[instrumented.Hit], 0.5),
	}
	if session := network.Origin[families.AuthToken.Name]; session > 0 {
		op.Emulated = session + max(network.Origin[families.UserProfile.Name], network.Origin[families.ConversationList.Name], time.Duration(0))
	}
	return op
}
