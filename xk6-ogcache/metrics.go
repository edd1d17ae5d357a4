package ogcache

import (
	"context"
	"errors"
	"time"

	"go.k6.io/k6/v2/lib"
	"go.k6.io/k6/v2/metrics"

	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/scenarios"
)

// Names of the metrics; README.md documents them.
const (
	durationMetric = "ogcache_operation_duration"
	serverMetric   = "ogcache_server_duration"
	lookupsMetric  = "ogcache_lookups"
	errorsMetric   = "ogcache_errors"
)

// resultNone tags an operation that looked nothing up.
const resultNone = "none"

type instanceMetrics struct {
	duration, server, lookups, errors *metrics.Metric
}

func registerMetrics(registry *metrics.Registry) (*instanceMetrics, error) {
	m := &instanceMetrics{}
	var errs []error
	add := func(into **metrics.Metric, name string, kind metrics.MetricType, of ...metrics.ValueType) {
		metric, err := registry.NewMetric(name, kind, of...)
		*into = metric
		errs = append(errs, err)
	}
	add(&m.duration, durationMetric, metrics.Trend, metrics.Time)
	add(&m.server, serverMetric, metrics.Trend, metrics.Time)
	add(&m.lookups, lookupsMetric, metrics.Counter)
	add(&m.errors, errorsMetric, metrics.Rate)
	return m, errors.Join(errs...)
}

// push hands one event's samples to k6.
func (m *instanceMetrics) push(ctx context.Context, state *lib.State, base *metrics.TagSet, op scenarios.Operation, bypass bool, o outcome, failed bool) {
	now := time.Now()
	base = base.With("mode", modeCached)
	if bypass {
		base = base.With("mode", modeBaseline)
	}
	of := base.With("operation", string(op))
	sample := func(metric *metrics.Metric, tags *metrics.TagSet, v float64) metrics.Sample {
		return metrics.Sample{TimeSeries: metrics.TimeSeries{Metric: metric, Tags: tags}, Time: now, Value: v}
	}
	samples := metrics.Samples{sample(m.errors, of, metrics.B(failed))}
	if !failed {
		worst, ok := instrumented.Worst(o.lookups)
		if !ok {
			worst = resultNone
		}
		timed := of.With("result", string(worst))
		samples = append(samples, sample(m.duration, timed, metrics.D(o.duration)))
		if o.server > 0 {
			samples = append(samples, sample(m.server, timed, metrics.D(o.server)))
		}
	}
	for _, l := range o.lookups {
		tags := base.With("family", l.Family.Name).With("operation", "fetch").With("result", string(l.Result))
		samples = append(samples, sample(m.lookups, tags, 1))
	}
	metrics.PushIfNotDone(ctx, state.Samples, samples)
}
