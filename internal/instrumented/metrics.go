package instrumented

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/oglab/ogcache/internal/families"
)

// operation is what a caller asked the client to do.
type operation uint8

const (
	opGet operation = iota
	opFetch
	opSet
	opDelete
	opBatchGet
	opBatchSet
	operations
)

var operationNames = [operations]string{"get", "fetch", "set", "delete", "batch_get", "batch_set"}

func (o operation) String() string { return operationNames[o] }

// Results of writes; those of reads are the results of lookups.
const (
	resultOK      Result = "ok"
	resultRefused Result = "refused" // the key was invalidated meanwhile
)

// What became of a value that was to be stored; the outcome label of
// ogcache_fills_total and ogcache_refreshes_total.
const (
	fillStored   = "stored"
	fillRefused  = "refused"   // invalidated or replaced since the load began
	fillTooLarge = "too_large" // beyond Options.MaxValue
	fillEnded    = "ended"     // its lifetime was over before it was stored
	fillFailed   = "error"     // Redis, or the encoding, failed
	loadFailed   = "load_failed"
	loadSkipped  = "skipped" // the bulkhead had no room
)

// latencyBuckets span a loopback hit to a load at its timeout, in seconds.
var latencyBuckets = []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

// bucketGrowth makes the native histograms exact to about 5 %.
const bucketGrowth = 1.1

// metrics are the client's series that are not of one view alone.
type metrics struct {
	lookups    *prometheus.CounterVec
	operations *prometheus.HistogramVec
	origins    *prometheus.HistogramVec
	requests   *prometheus.HistogramVec
	fills      *prometheus.CounterVec
	refreshes  *prometheus.CounterVec
	freshness  *prometheus.CounterVec
	shed       *prometheus.CounterVec
	joined     *prometheus.CounterVec
	enabled    *prometheus.GaugeVec
	dropsLost  prometheus.Counter
	catchUps   prometheus.Counter
	nearLost   prometheus.Counter
}

func newMetrics() *metrics {
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: latencyBuckets,
			NativeHistogramBucketFactor:     bucketGrowth,
			NativeHistogramMaxBucketNumber:  240,
			NativeHistogramMinResetDuration: time.Hour,
		}, labels)
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &metrics{
		lookups: counters("ogcache_lookups_total",
			"Keys that callers asked for, by how they were answered and, unless they hit, why not.", "family", "result", "reason"),
		operations: histogram("ogcache_operation_duration_seconds",
			"Time a caller spent in one operation of the cache client.", "family", "operation", "result"),
		origins: histogram("ogcache_origin_duration_seconds",
			"Time spent loading from the origin.", "family"),
		requests: histogram("ogcache_request_duration_seconds",
			"Time the application spent in one request, by the worst result of its lookups.", "operation", "result"),
		fills: counters("ogcache_fills_total",
			"Loaded values on their way into Redis, by what became of them.", "family", "outcome"),
		refreshes: counters("ogcache_refreshes_total",
			"Refreshes in the background of values about to expire or just expired, by how they ended.", "family", "outcome"),
		freshness: counters("ogcache_freshness_checks_total",
			"Sampled hits that were compared with the origin, by what was found.", "family", "outcome"),
		shed: counters("ogcache_loads_shed_total",
			"Loads refused because as many as allowed were running.", "family"),
		joined: counters("ogcache_loads_shared_total",
			"Callers that were served by a load that another caller had begun.", "family"),
		enabled: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ogcache_enabled", Help: "1 while the family is cached, 0 while it is switched off.",
		}, []string{"family"}),
		dropsLost: counter("ogcache_invalidations_lost_total",
			"Invalidations given up because too many were waiting for Redis."),
		catchUps: counter("ogcache_catch_ups_total",
			"Times that invalidations were caught up with before hits were trusted."),
		nearLost: counter("ogcache_near_cache_flushes_total",
			"Times that the near caches were emptied because their tracking connection was lost."),
	}
}

// register puts the series, and the client's state, on a registry.
func (m *metrics) register(reg prometheus.Registerer, c *Cache) error {
	if reg == nil {
		return nil
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	var errs []error
	for _, collector := range []prometheus.Collector{
		m.lookups, m.operations, m.origins, m.requests, m.fills, m.refreshes, m.freshness, m.shed, m.joined,
		m.enabled, m.dropsLost, m.catchUps, m.nearLost,
		gauge("ogcache_breaker_open", "1 while Redis is given up and requests go to the origin, else 0.",
			func() float64 { return truth(c.redis != nil && !c.breaker.IsClosed()) }),
		gauge("ogcache_trusted", "1 while hits are trusted, 0 while invalidations are caught up with.",
			func() float64 { return truth(c.trust.trusted()) }),
		gauge("ogcache_invalidations_pending", "Invalidations that Redis has not confirmed; their keys are not read until it has.",
			func() float64 { return float64(c.drops.waiting.Load()) }),
		gauge("ogcache_redis_budget_seconds", "How long one request may wait for Redis in all its steps together.",
			func() float64 { return c.Budget().Seconds() }),
		gauge("ogcache_loads_running", "Loads from the origin that are running.",
			func() float64 { return float64(c.loads.running()) }),
		gauge("ogcache_loads_limit", "How many loads from the origin may run at once.",
			func() float64 { return float64(c.loads.limit()) }),
		gauge("ogcache_near_cache_staleness_seconds", "Upper bound of how old an entry of the near caches may be; 0 while they are not in use.",
			func() float64 { return c.tracking.staleness().Seconds() }),
	} {
		errs = append(errs, reg.Register(collector))
	}
	return errors.Join(errs...)
}

// instruments are one family's series, each resolved once.
type instruments struct {
	metrics   *metrics
	family    string
	lookups   [outcomes]prometheus.Counter
	durations [operations]map[Result]*atomic.Pointer[prometheus.Observer]
	origin    prometheus.Observer
	shed      prometheus.Counter
	joined    prometheus.Counter
}

// readResults and writeResults are the results that an operation can have.
var (
	readResults  = Results()
	writeResults = []Result{resultOK, resultRefused, Error}
)

func (m *metrics) of(f *families.Family) *instruments {
	i := &instruments{
		metrics: m, family: f.Name,
		origin: m.origins.WithLabelValues(f.Name),
		shed:   m.shed.WithLabelValues(f.Name),
		joined: m.joined.WithLabelValues(f.Name),
	}
	for o := range outcomes {
		i.lookups[o] = m.lookups.WithLabelValues(f.Name, string(o.result()), o.reason())
	}
	for op := range operations {
		results := readResults
		if op == opSet || op == opDelete || op == opBatchSet {
			results = writeResults
		}
		i.durations[op] = make(map[Result]*atomic.Pointer[prometheus.Observer], len(results))
		for _, r := range results {
			i.durations[op][r] = new(atomic.Pointer[prometheus.Observer])
		}
	}
	for _, r := range []Result{Hit, Miss, Bypass} {
		i.duration(opFetch, r)
	}
	return i
}

// duration returns the series of an operation and a result, which comes into
// being when it is first used.
func (i *instruments) duration(op operation, result Result) prometheus.Observer {
	resolved := i.durations[op][result]
	if o := resolved.Load(); o != nil {
		return *o
	}
	o := i.metrics.operations.WithLabelValues(i.family, op.String(), string(result))
	resolved.Store(&o)
	return o
}

func (i *instruments) operation(ctx context.Context, op operation, result Result, took time.Duration) {
	observe(ctx, i.duration(op, result), took)
}

func (i *instruments) loaded(ctx context.Context, took time.Duration) { observe(ctx, i.origin, took) }

func (i *instruments) filled(outcome string) {
	i.metrics.fills.WithLabelValues(i.family, outcome).Inc()
}

func (i *instruments) refreshed(outcome string) {
	i.metrics.refreshes.WithLabelValues(i.family, outcome).Inc()
}

func (i *instruments) checked(outcome string) {
	i.metrics.freshness.WithLabelValues(i.family, outcome).Inc()
}

// observe records a duration, with the trace as exemplar where it is sampled.
func observe(ctx context.Context, o prometheus.Observer, took time.Duration) {
	if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
		if e, ok := o.(prometheus.ExemplarObserver); ok {
			e.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": sc.TraceID().String()})
			return
		}
	}
	o.Observe(took.Seconds())
}
