package web

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/keyspace"
	"github.com/oglab/ogcache/internal/views"
)

const (
	recentWindow   = time.Minute
	degradedWindow = 10 * time.Second
	probeEvery     = 2 * time.Second
	probeTimeout   = time.Second
)

// cacheClient is what the overview asks of the cache client.
type cacheClient interface {
	Configured() bool
	Available() bool
	Stats() instrumented.Stats
}

// keyReader is what the overview asks of Redis' keys.
type keyReader interface {
	Latest() (keyspace.Snapshot, bool)
	Server(context.Context) (keyspace.Server, error)
}

// overview collects what the overview page shows.
type overview struct {
	cache        cacheClient
	keys         keyReader                   // nil without Redis
	database     func(context.Context) error // nil: it cannot be away
	surroundings views.Surroundings
	action       func() views.Action
	started      time.Time

	mu         sync.Mutex
	history    []instrumented.Stats // one per second of the window, oldest first; never empty
	databaseIs views.Health
	memory     string // of Redis, as it tells it
}

func newOverview(cache cacheClient, keys keyReader, database func(context.Context) error, s views.Surroundings, action func() views.Action) *overview {
	o := &overview{
		cache: cache, keys: keys, database: database, surroundings: s, action: action, started: time.Now(),
		databaseIs: views.Health{State: views.Checking},
	}
	if database == nil {
		o.databaseIs = views.Health{State: views.Available}
	}
	o.surroundings.Redis.Absent = !cache.Configured()
	o.history = []instrumented.Stats{{At: o.started}}
	return o
}

// sample remembers the present counts. It is called once a second.
func (o *overview) sample() {
	now := o.cache.Stats()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.history = append(o.history, now)
	for len(o.history) > 1 && now.At.Sub(o.history[1].At) >= recentWindow {
		o.history = o.history[1:]
	}
}

// watch asks the database and Redis how they are until ctx ends.
func (o *overview) watch(ctx context.Context) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		o.probe(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (o *overview) probe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	memory := ""
	if o.keys != nil && o.cache.Available() {
		if server, err := o.keys.Server(ctx); err == nil {
			memory = server.Memory
		}
	}
	health := views.Health{State: views.Available}
	if o.database != nil {
		start := time.Now()
		if err := o.database(ctx); err != nil {
			health = views.Health{
				State:  views.Unavailable,
				Detail: "It does not answer: what is cached is still served, everything else fails.",
			}
		} else {
			health.Detail = "Answered a ping in " + views.Seconds(time.Since(start).Seconds(), true) + "."
		}
	}
	o.mu.Lock()
	o.databaseIs, o.memory = health, memory
	o.mu.Unlock()
}

// current returns the overview as of now. The totals are exact; the window
// begins at the oldest second that is remembered.
func (o *overview) current() views.Overview {
	now := o.cache.Stats()
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.history[0]
	v := views.Overview{
		Surroundings: o.surroundings,
		Now:          now.At,
		Started:      o.started,
		Window:       now.At.Sub(before.At),
		Redis:        o.redisHealth(now),
		Database:     o.databaseIs,
		Trend:        trendOf(o.history),
		Action:       o.action(),
	}
	var snapshot keyspace.Snapshot
	scanned := false
	if o.keys != nil {
		snapshot, scanned = o.keys.Latest()
	}
	for _, f := range families.All() {
		row := familyOf(f, now.Families[f.Name], before.Families[f.Name], v.Window)
		if scanned {
			row.Keys, row.Problems = keysOf(f.TTL+f.StaleFor, snapshot.Families[f.Name])
		}
		v.Total, v.Recent = v.Total.Add(row.Total), v.Recent.Add(row.Recent)
		v.Families = append(v.Families, row)
	}
	if scanned {
		v.Scan = views.Scan{
			Known: true, Age: now.At.Sub(snapshot.TakenAt), Took: snapshot.Took, Every: snapshot.Interval(),
			Scanned: snapshot.Scanned, Other: snapshot.Families[families.Other].Keys,
			BytesOffered: snapshot.BytesOffered, Memory: o.memory,
		}
	}
	v.Speedup = speedupOf(now, v.Families, o.surroundings.Network)
	return v
}

// redisHealth tells how Redis is from the client's own experience, without
// asking it.
func (o *overview) redisHealth(now instrumented.Stats) views.Health {
	switch {
	case !o.cache.Configured():
		return views.Health{State: views.Absent, Detail: "Nothing is cached; every read is served from the database."}
	case !o.cache.Available():
		return views.Health{
			State:  views.Unavailable,
			Detail: "Reads are served from the database; the cache is used again by itself once Redis answers.",
		}
	}
	before := o.history[0]
	for _, s := range o.history {
		if now.At.Sub(s.At) < degradedWindow {
			break
		}
		before = s
	}
	all, unanswered := uint64(0), uint64(0)
	for name, f := range now.Families {
		recent := lookupsSince(f.Lookups, before.Families[name].Lookups)
		all += recent.All() - recent.Bypassed
		unanswered += recent.Unanswered
	}
	if unanswered == 0 {
		return views.Health{State: views.Available}
	}
	return views.Health{State: views.Degraded, Detail: fmt.Sprintf(
		"%s of the lookups of the last %s were not answered in time and were read from the database.",
		views.Percent(float64(unanswered)/float64(all), true), views.Duration(degradedWindow))}
}

func trendOf(history []instrumented.Stats) []views.Second {
	var trend []views.Second
	for i := 1; i < len(history); i++ {
		var s views.Second
		for name, f := range history[i].Families {
			recent := lookupsSince(f.Lookups, history[i-1].Families[name].Lookups)
			s.Hits += recent.Hits
			s.Misses += recent.Misses
		}
		trend = append(trend, s)
	}
	return trend
}

func familyOf(f *families.Family, now, before instrumented.FamilyStats, window time.Duration) views.Family {
	row := views.Family{
		Name: f.Name, Title: f.Title,
		Total:  lookupsSince(now.Lookups, nil),
		Recent: lookupsSince(now.Lookups, before.Lookups),
		Hit:    quantilesOf(now.Hit.Sub(before.Hit)),
		Miss:   quantilesOf(now.Miss.Sub(before.Miss)),
	}
	if window > 0 {
		row.Rate = float64(row.Recent.All()) / window.Seconds()
	}
	return row
}

func lookupsSince(now, before map[instrumented.Result]uint64) views.Lookups {
	since := func(r instrumented.Result) uint64 { return now[r] - before[r] }
	return views.Lookups{
		Hits:       since(instrumented.Hit) + since(instrumented.NearHit),
		Misses:     since(instrumented.Miss),
		Stale:      since(instrumented.Stale),
		Bypassed:   since(instrumented.Bypass),
		Unanswered: since(instrumented.Error),
	}
}

func quantilesOf(h instrumented.Histogram) views.Quantiles {
	return views.Quantiles{P50: latencyOf(h, 0.5), P95: latencyOf(h, 0.95)}
}

func latencyOf(h instrumented.Histogram, q float64) views.Latency {
	s, ok := h.Quantile(q)
	return views.Latency{Seconds: s, OK: ok}
}

// keysOf returns what a scan found of a family, and in words what is wrong
// with it.
func keysOf(lifetime time.Duration, k keyspace.FamilyKeys) (keys views.Keys, problems []string) {
	keys = views.Keys{Known: true, Count: k.Keys, Bytes: k.Bytes, Lifetime: lifetime, Left: k.TTL}
	if k.NoExpiry > 0 {
		problems = append(problems, views.Plural(k.NoExpiry, "key has", "keys have")+" no expiry and would stay for ever.")
	}
	if k.OverPolicy > 0 {
		problems = append(problems, fmt.Sprintf("%s longer than the family's %s.",
			views.Plural(k.OverPolicy, "key lives", "keys live"), views.Duration(lifetime)))
	}
	return keys, problems
}
