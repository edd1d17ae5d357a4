package outbox

import (
	"errors"
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oglab/ogcache/internal/origin"
)

type metrics struct {
	pending, oldest, enabled      prometheus.Gauge
	byRequest, byWorker, byReplay prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	delivered := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ogcache_outbox_delivered_total",
		Help: "Entries of the outbox whose keys were dropped, by who dropped them: the request that wrote, a worker, " +
			"or a replay before hits were trusted. An entry that was dropped twice counts twice.",
	}, []string{"by"})
	m := &metrics{
		pending: gauge("ogcache_outbox_pending",
			"Changes in the outbox that are not known to be dropped; 10,000 means that or more. NaN while it cannot be read."),
		oldest: gauge("ogcache_outbox_oldest_seconds",
			"How long ago the oldest pending change was recorded, 0 without any. NaN while it cannot be read."),
		enabled: gauge("ogcache_outbox_enabled",
			"1 while all triggers record changes, 0 while some are off. NaN while it cannot be read."),
		byRequest: delivered.WithLabelValues("request"),
		byWorker:  delivered.WithLabelValues("worker"),
		byReplay:  delivered.WithLabelValues("replay"),
	}
	m.unknown()
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.pending), r.Register(m.oldest), r.Register(m.enabled), r.Register(delivered))
}

func (m *metrics) state(s origin.OutboxState) {
	m.pending.Set(float64(s.Pending))
	m.oldest.Set(s.Oldest.Seconds())
	m.enabled.Set(0)
	if s.Enabled {
		m.enabled.Set(1)
	}
}

func (m *metrics) unknown() {
	for _, g := range []prometheus.Gauge{m.pending, m.oldest, m.enabled} {
		g.Set(math.NaN())
	}
}
