package instrumented

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/oglab/ogcache/internal/families"
)

// operation is what a caller asked the client to do.
type operation string

const (
	opGet      operation = "get"
	opFetch    operation = "fetch"
	opSet      operation = "set"
	opDelete   operation = "delete"
	opBatchGet operation = "batch_get"
	opBatchSet operation = "batch_set"
)

// Results of writes; those of reads are the results of lookups.
const (
	resultOK      Result = "ok"
	resultRefused Result = "refused" // the key was invalidated meanwhile
)

func outcome(err error) Result {
	if err != nil {
		return Error
	}
	return resultOK
}

// latencyBuckets span a loopback hit to a load at its timeout, in seconds.
var latencyBuckets = []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

// bucketGrowth makes the native histograms exact to about 5 %.
const bucketGrowth = 1.1

// metrics are the client's series. Their children are resolved once.
type metrics struct {
	lookups    *prometheus.CounterVec
	operations *prometheus.HistogramVec
	origins    *prometheus.HistogramVec
	requests   *prometheus.HistogramVec
	dropsLost  prometheus.Counter
	fetches    map[*families.Family]map[Result]prometheus.Observer
	loads      map[*families.Family]prometheus.Observer
	counted    map[*families.Family]map[Result]prometheus.Counter // of the common reasons
}

func newMetrics(reg prometheus.Registerer, c *Cache) (*metrics, error) {
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: latencyBuckets,
			NativeHistogramBucketFactor:     bucketGrowth,
			NativeHistogramMaxBucketNumber:  240,
			NativeHistogramMinResetDuration: time.Hour,
		}, labels)
	}
	m := &metrics{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ogcache_lookups_total",
			Help: "Keys that callers asked for, by how they were answered and, unless they hit, why not.",
		}, []string{"family", "result", "reason"}),
		operations: histogram("ogcache_operation_duration_seconds",
			"Time a caller spent in one operation of the cache client.", "family", "operation", "result"),
		origins: histogram("ogcache_origin_duration_seconds",
			"Time spent loading from the origin.", "family"),
		requests: histogram("ogcache_request_duration_seconds",
			"Time the application spent in one request, by the worst result of its lookups.", "operation", "result"),
		dropsLost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ogcache_invalidations_lost_total",
			Help: "Invalidations given up because too many were waiting for Redis.",
		}),
		fetches: make(map[*families.Family]map[Result]prometheus.Observer),
		loads:   make(map[*families.Family]prometheus.Observer),
		counted: make(map[*families.Family]map[Result]prometheus.Counter),
	}
	for _, f := range families.All() {
		m.loads[f] = m.origins.WithLabelValues(f.Name)
		m.fetches[f] = make(map[Result]prometheus.Observer)
		m.counted[f] = make(map[Result]prometheus.Counter)
		for result, reason := range map[Result]string{
			Hit: reasonNone, Miss: reasonUnknown, Bypass: reasonRequested, Error: reasonOpen,
		} {
			m.fetches[f][result] = m.operations.WithLabelValues(f.Name, string(opFetch), string(result))
			m.counted[f][result] = m.lookups.WithLabelValues(f.Name, string(result), reason)
		}
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, collector := range []prometheus.Collector{
		m.lookups, m.operations, m.origins, m.requests, m.dropsLost,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "ogcache_breaker_open",
			Help: "1 while Redis is given up and requests go to the origin, else 0.",
		}, func() float64 {
			if c.redis != nil && !c.breaker.IsClosed() {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "ogcache_invalidations_pending",
			Help: "Invalidations that Redis has not confirmed; their keys are not read until it has.",
		}, func() float64 { return float64(c.drops.waiting.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "ogcache_redis_budget_seconds",
			Help: "How long one request may wait for Redis in all its steps together.",
		}, func() float64 { return c.Budget().Seconds() }),
	} {
		errs = append(errs, reg.Register(collector))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) lookup(f *families.Family, result Result, reason string) {
	switch {
	case result == Hit,
		result == Miss && reason == reasonUnknown,
		result == Bypass && reason == reasonRequested,
		result == Error && reason == reasonOpen:
		m.counted[f][result].Inc()
	default:
		m.lookups.WithLabelValues(f.Name, string(result), reason).Inc()
	}
}

func (m *metrics) operation(f *families.Family, op operation, result Result, took time.Duration, ctx context.Context) {
	if op == opFetch {
		if o, ok := m.fetches[f][result]; ok {
			observe(ctx, o, took)
			return
		}
	}
	observe(ctx, m.operations.WithLabelValues(f.Name, string(op), string(result)), took)
}

func (m *metrics) loaded(f *families.Family, took time.Duration, ctx context.Context) {
	observe(ctx, m.loads[f], took)
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
