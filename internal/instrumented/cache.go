// Package instrumented is the cache client: a cache in front of an origin that
// never keeps a value that a writer has invalidated, never waits long for a
// Redis that does not answer, asks the origin once for what many want at once,
// and counts, times and traces every lookup per key family.
package instrumented

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/oglab/ogcache/internal/families"
)

// Defaults of Options.
const (
	DefaultBudget      = 50 * time.Millisecond
	DefaultLoadTimeout = 5 * time.Second
	DefaultLeaseWait   = time.Second
)

// budgetRoundTrips is how many round trips the default budget allows for at
// least, so that a healthy Redis far away is not taken for a dead one.
const budgetRoundTrips = 8

// Options configure a Cache. The zero value is a client without a cache.
type Options struct {
	// Redis is the server; nil means that every lookup goes to the origin.
	Redis *Redis
	// Budget is how long one request may wait for Redis in all its steps
	// together. 0 means 50 ms, or eight round trips as measured where that is
	// longer.
	Budget time.Duration
	// LoadTimeout bounds a load from the origin. 0 means 5 s.
	LoadTimeout time.Duration
	// LeaseWait bounds the wait for a value that another process is loading.
	// 0 means 1 s.
	LeaseWait time.Duration
	// TTL shortens the lifetime of families' entries. It cannot lengthen it.
	TTL map[*families.Family]time.Duration
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
		"Budget": o.Budget, "LoadTimeout": o.LoadTimeout, "LeaseWait": o.LeaseWait,
	} {
		if d < 0 {
			return fmt.Errorf("cache options: %s is %v, it must not be negative", name, d)
		}
	}
	for f, ttl := range o.TTL {
		if ttl <= 0 || ttl > f.TTL {
			return fmt.Errorf("cache options: the TTL of %s is %v, it must be above 0 and at most %v", f, ttl, f.TTL)
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
	leaseWait   time.Duration
	ttl         map[*families.Family]time.Duration
	breaker     *breaker
	flights     flights
	drops       drops
	metrics     *metrics
	tracer      trace.Tracer
	server      []attribute.KeyValue // of spans: where Redis is
	observer    Observer
	logger      *slog.Logger
	stop        context.CancelFunc
	background  sync.WaitGroup
}

// New returns a client. It does no I/O and does not wait for Redis.
func New(o Options) (*Cache, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	c := &Cache{
		budget:      o.Budget,
		loadTimeout: orDefault(o.LoadTimeout, DefaultLoadTimeout),
		leaseWait:   orDefault(o.LeaseWait, DefaultLeaseWait),
		ttl:         o.TTL,
		breaker:     newBreaker(),
		observer:    o.Observer,
		logger:      o.Logger,
	}
	if c.observer == nil {
		c.observer = silent{}
	}
	if c.logger == nil {
		c.logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.TracerProvider == nil {
		o.TracerProvider = noop.NewTracerProvider()
	}
	c.tracer = o.TracerProvider.Tracer("github.com/oglab/ogcache/internal/instrumented")
	if o.Redis != nil {
		c.far, c.redis = o.Redis, &remote{UniversalClient: o.Redis.UniversalClient}
		c.server = serverAttributes(o.Redis.address)
	}
	var err error
	if c.metrics, err = newMetrics(o.Registerer, c); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	if c.redis != nil {
		c.background.Go(func() { c.breaker.watch(ctx, c.recovered) })
		c.background.Go(func() { c.drops.run(ctx, c.dropNow) })
	}
	return c, nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Close ends the background work. It does not close the Redis client.
func (c *Cache) Close() error {
	c.stop()
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
	return max(DefaultBudget, budgetRoundTrips*c.far.RoundTrip())
}

// TTL returns the longest lifetime of a new entry of the family.
func (c *Cache) TTL(f *families.Family) time.Duration {
	if ttl, ok := c.ttl[f]; ok {
		return ttl
	}
	return f.TTL
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
	if err := c.drops.flush(ctx, c.dropNow); err != nil {
		return err
	}
	c.logger.Info("Redis answers again, the cache is in use")
	return nil
}

var (
	errNoCache = errors.New("no Redis is configured")
	errOpen    = errors.New("Redis is not answering, the breaker is open")
	errBudget  = errors.New("the request's Redis budget is used up")
)

// step runs one exchange with Redis on the request's budget and tells the
// breaker how it went.
func (c *Cache) step(ctx context.Context, exchange func(context.Context) error) error {
	if c.redis == nil {
		return errNoCache
	}
	if !c.breaker.TryAcquirePermit() {
		return errOpen
	}
	r := requestFrom(ctx)
	left := r.begin(c.Budget())
	defer r.end()
	if left <= 0 {
		return errBudget
	}
	limited, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	err := exchange(limited)
	switch {
	case err == nil:
		c.breaker.RecordSuccess()
	case ctx.Err() != nil:
		// The caller gave up; that says nothing about Redis.
	case answered(err):
		c.breaker.RecordSuccess()
	default:
		c.breaker.RecordFailure()
		if c.breaker.IsOpen() {
			c.logger.Warn("Redis does not answer, requests go to the origin", "error", err)
		}
	}
	return err
}

// answered reports whether an error is a reply of a working server.
func answered(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	for _, unfit := range []string{"LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "NOAUTH", "WRONGPASS", "NOPERM", "OOM", "MISCONF"} {
		if redis.HasErrorPrefix(err, unfit) {
			return false
		}
	}
	return true
}

type silent struct{}

func (silent) Lookup(context.Context, families.Key, Result) {}
func (silent) Stored(context.Context, families.Key)         {}
func (silent) Dropped(context.Context, families.Key)        {}
