// Package instrumented is the cache client: a cache in front of an origin that
// never keeps a value that a writer has invalidated, never waits long for a
// Redis that does not answer, asks the origin once for what many want at once,
// and counts, times and traces every lookup per key family.
package instrumented

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/oglab/ogcache/internal/families"
)

// Defaults of Options.
const (
	DefaultBudget       = 50 * time.Millisecond
	DefaultLoadTimeout  = 5 * time.Second
	DefaultLeaseWait    = time.Second
	DefaultSoftTimeout  = 100 * time.Millisecond
	DefaultMaxLoads     = 64
	DefaultMaxLoadWait  = time.Second
	DefaultMaxValue     = 1 << 20
	DefaultFreshness    = 0.001
	DefaultNearBytes    = 16 << 20
	DefaultNearLifetime = time.Second
)

// budgetRoundTrips is how many round trips the default budget allows for at
// least, so that a healthy Redis far away is not taken for a dead one.
const budgetRoundTrips = 8

// longestBudget bounds the default budget, so that a slow Redis is not taken
// for one far away.
const longestBudget = 500 * time.Millisecond

// Options configure a Cache. The zero value is a client without a cache.
type Options struct {
	// Redis is the server; nil means that every lookup goes to the origin.
	Redis *Redis
	// Budget is how long one request may wait for Redis in all its steps
	// together. 0 means 50 ms, or eight round trips as measured where that is
	// longer, but at most 500 ms.
	Budget time.Duration
	// LoadTimeout bounds a load from the origin. 0 means 5 s.
	LoadTimeout time.Duration
	// SoftTimeout is how long a caller waits for the origin where an expired
	// value could be served instead. 0 means 100 ms.
	SoftTimeout time.Duration
	// MaxLoads bounds the loads that run at once, and MaxLoadWait the wait for
	// one to end. 0 means 64 and 1 s.
	MaxLoads    int
	MaxLoadWait time.Duration
	// LeaseWait bounds the wait for a value that another process is loading.
	// 0 means 1 s.
	LeaseWait time.Duration
	// MaxValue is how many bytes an entry may have. 0 means 1 MiB.
	MaxValue int
	// TTL shortens the lifetime of families' entries. It cannot lengthen it.
	TTL map[*families.Family]time.Duration
	// StaleFor replaces the families' own. Sessions never have one.
	StaleFor map[*families.Family]time.Duration
	// Off are the families that are switched off from the start.
	Off []*families.Family
	// Near are the families that are kept in the process too, where the server
	// can tell of changes (RESP3 tracking) and is a single one.
	Near []*families.Family
	// NearBytes bounds each family's near cache, NearLifetime how old what it
	// serves may be. 0 means 16 MiB and 1 s.
	NearBytes    int
	NearLifetime time.Duration
	// BatchReads sends reads that wait for a connection as one command.
	BatchReads bool
	// Freshness is the share of hits that are compared with the origin, ten a
	// second at most. 0 means 0.1 %, below 0 none.
	Freshness float64
	// Ledger is caught up with before hits are trusted; nil trusts them always.
	Ledger Ledger
	// Registerer receives the metrics; nil registers none.
	Registerer prometheus.Registerer
	// TracerProvider makes the spans; nil makes none.
	TracerProvider trace.TracerProvider
	// Observer is told of lookups, stores and drops; nil tells nobody.
	Observer Observer
	// Logger receives changes of state; nil discards them.
	Logger *slog.Logger
}

func (o Options) validate() error {
	for name, d := range map[string]time.Duration{
		"Budget": o.Budget, "LoadTimeout": o.LoadTimeout, "LeaseWait": o.LeaseWait, "SoftTimeout": o.SoftTimeout,
		"MaxLoadWait": o.MaxLoadWait, "NearLifetime": o.NearLifetime,
		"MaxLoads": time.Duration(o.MaxLoads), "MaxValue": time.Duration(o.MaxValue), "NearBytes": time.Duration(o.NearBytes),
	} {
		if d < 0 {
			return fmt.Errorf("cache options: %s is negative", name)
		}
	}
	if o.Freshness > 1 {
		return fmt.Errorf("cache options: Freshness is %v, it is a share of at most 1", o.Freshness)
	}
	for f, ttl := range o.TTL {
		if ttl <= 0 || ttl > f.TTL {
			return fmt.Errorf("cache options: the TTL of %s is %v, it must be above 0 and at most %v", f, ttl, f.TTL)
		}
	}
	for f, d := range o.StaleFor {
		if d < 0 || d > 0 && f == families.AuthToken {
			return fmt.Errorf("cache options: StaleFor of %s is %v, it must not be negative and sessions have none", f, d)
		}
	}
	return nil
}

// Observer is told what happened to single keys, after the fact, for log
// lines. It must not block and must be safe for concurrent use.
type Observer interface {
	Lookup(ctx context.Context, key families.Key, result Result)
	Stored(ctx context.Context, key families.Key)
	Dropped(ctx context.Context, key families.Key)
}

// Cache is the client. It is safe for concurrent use; Close ends it.
type Cache struct {
	redis       *remote // nil without a cache
	far         *Redis
	budget      time.Duration // 0: derived from the round trip
	loadTimeout time.Duration
	softTimeout time.Duration
	leaseWait   time.Duration
	maxValue    int
	views       map[*families.Family]*view
	breaker     *breaker
	lastFailure atomic.Pointer[stepFailure]
	trust       *trust
	flights     flights
	drops       drops
	loads       *bulkhead
	refreshing  inProgress
	freshness   *freshness
	history     *history
	tracking    *tracking // nil without near caches
	gather      *gather   // nil: every read is a command of its own
	metrics     *metrics
	tracer      trace.Tracer
	observer    Observer // nil: nobody
	logger      *slog.Logger

	life       context.Context // ends with the cache
	stop       context.CancelFunc
	closing    sync.RWMutex // held while background work is added, or waited for
	background sync.WaitGroup
}

// New returns a client. It does no I/O and does not wait for Redis.
func New(o Options) (*Cache, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	c := &Cache{
		budget:      o.Budget,
		loadTimeout: orDefault(o.LoadTimeout, DefaultLoadTimeout),
		softTimeout: orDefault(o.SoftTimeout, DefaultSoftTimeout),
		leaseWait:   orDefault(o.LeaseWait, DefaultLeaseWait),
		maxValue:    orDefault(o.MaxValue, DefaultMaxValue),
		views:       make(map[*families.Family]*view),
		breaker:     newBreaker(),
		loads:       newBulkhead(orDefault(o.MaxLoads, DefaultMaxLoads), orDefault(o.MaxLoadWait, DefaultMaxLoadWait)),
		freshness:   newFreshness(orDefault(o.Freshness, DefaultFreshness)),
		history:     newHistory(),
		metrics:     newMetrics(),
		observer:    o.Observer,
		logger:      o.Logger,
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if o.TracerProvider == nil {
		o.TracerProvider = noop.NewTracerProvider()
	}
	c.tracer = o.TracerProvider.Tracer("github.com/oglab/ogcache/internal/instrumented")
	var server []attribute.KeyValue
	if o.Redis != nil {
		c.far, c.redis = o.Redis, &remote{UniversalClient: o.Redis.UniversalClient}
		server = serverAttributes(o.Redis.address)
		if o.BatchReads {
			c.gather = newGather(c)
		}
	}
	for _, f := range families.All() {
		c.views[f] = &view{
			instruments: c.metrics.of(f), family: f, spans: spanTemplates(f, server),
			ttl: orDefault(o.TTL[f], f.TTL), staleFor: f.StaleFor,
		}
		if d, ok := o.StaleFor[f]; ok {
			c.views[f].staleFor = d
		}
		c.metrics.enabled.WithLabelValues(f.Name).Set(1)
	}
	if err := c.openNear(o); err != nil {
		return nil, err
	}
	c.trust = newTrust(o.Ledger)
	if err := c.metrics.register(o.Registerer, c); err != nil {
		return nil, err
	}
	if len(o.Off) > 0 {
		c.Switch(false, o.Off...)
	}
	c.life, c.stop = context.WithCancel(context.Background())
	c.start()
	return c, nil
}

// start begins what runs as long as the cache does.
func (c *Cache) start() {
	if c.redis == nil {
		return
	}
	c.far.listen(c.trust.met)
	c.background.Go(func() { c.breaker.watch(c.life, c.lost, c.recovered) })
	c.background.Go(func() { c.drops.run(c.life, c.DropNow) })
	if c.trust.ledger != nil {
		c.background.Go(func() { c.keepTrust(c.life) })
	}
	if c.tracking != nil {
		c.far.listen(c.tracking.met)
		c.background.Go(func() { c.tracking.run(c.life) })
	}
}

// Close ends the background work. It does not close the Redis client.
func (c *Cache) Close() error {
	c.closing.Lock()
	c.stop()
	c.closing.Unlock()
	c.background.Wait()
	return nil
}

// Configured reports whether there is a Redis to use at all.
func (c *Cache) Configured() bool { return c.redis != nil }

// Available reports whether Redis is configured and answers, as far as recent
// requests and probes tell. It does no I/O.
func (c *Cache) Available() bool { return c.redis != nil && c.breaker.IsClosed() }

// Budget returns how long one request may wait for Redis at present.
func (c *Cache) Budget() time.Duration {
	if c.budget > 0 || c.far == nil {
		return orDefault(c.budget, DefaultBudget)
	}
	return min(max(DefaultBudget, budgetRoundTrips*c.far.RoundTrip()), longestBudget)
}

// TTL returns the longest lifetime of a new entry of the family.
func (c *Cache) TTL(f *families.Family) time.Duration { return c.view(f).ttl }

// lost tells the log that Redis is given up.
func (c *Cache) lost() {
	c.logger.Warn("Redis does not answer, requests go to the origin", "error", c.lastFailure.Load())
}

// recovered reports whether Redis answers again. Hits are trusted again only
// after what was to be dropped meanwhile is gone.
func (c *Cache) recovered(ctx context.Context) error {
	// Connecting goes on when the probe's patience ends; the next one finds the
	// connection made.
	limited, cancel := context.WithTimeout(ctx, max(probePatience, 2*c.Budget()))
	defer cancel()
	if err := c.redis.Ping(limited).Err(); err != nil {
		return err
	}
	if err := c.drops.flush(ctx, c.DropNow); err != nil {
		return err
	}
	c.trust.doubt()
	c.logger.Info("Redis answers again, the cache is in use")
	return nil
}
