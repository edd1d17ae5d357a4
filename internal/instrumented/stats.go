package instrumented

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/oglab/ogcache/internal/families"
)

// Stats is what the client has counted since its process started.
type Stats struct {
	At       time.Time
	Families map[string]FamilyStats // by family name
	// Requests are the latencies of whole requests by the application's
	// operation and the worst result of its lookups.
	Requests map[string]map[Result]Histogram
}

// FamilyStats are one family's counts and latencies.
type FamilyStats struct {
	Lookups map[Result]uint64
	Hit     Histogram // fetches that hit
	Miss    Histogram // fetches that missed, load and fill included
	Bypass  Histogram // fetches that went around the cache
	Origin  Histogram // loads alone
}

// Stats returns a snapshot. It reads the very series that are on /metrics.
func (c *Cache) Stats() Stats {
	s := Stats{
		At:       time.Now(),
		Families: make(map[string]FamilyStats),
		Requests: make(map[string]map[Result]Histogram),
	}
	for _, f := range families.All() {
		s.Families[f.Name] = FamilyStats{
			Lookups: make(map[Result]uint64),
			Hit:     histogramOf(c.view(f).duration(opFetch, Hit)),
			Miss:    histogramOf(c.view(f).duration(opFetch, Miss)),
			Bypass:  histogramOf(c.view(f).duration(opFetch, Bypass)),
			Origin:  histogramOf(c.view(f).origin),
		}
	}
	for _, m := range collect(c.metrics.lookups) {
		labels := labelsOf(m)
		s.Families[labels["family"]].Lookups[Result(labels["result"])] += uint64(m.GetCounter().GetValue())
	}
	for _, m := range collect(c.metrics.requests) {
		labels := labelsOf(m)
		byResult := s.Requests[labels["operation"]]
		if byResult == nil {
			byResult = make(map[Result]Histogram)
			s.Requests[labels["operation"]] = byResult
		}
		byResult[Result(labels["result"])] = histogramFrom(m.GetHistogram())
	}
	return s
}

func labelsOf(m *dto.Metric) map[string]string {
	labels := make(map[string]string)
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	return labels
}

func collect(c prometheus.Collector) []*dto.Metric {
	ch := make(chan prometheus.Metric)
	go func() {
		c.Collect(ch)
		close(ch)
	}()
	var all []*dto.Metric
	for m := range ch {
		var d dto.Metric
		if m.Write(&d) == nil {
			all = append(all, &d)
		}
	}
	return all
}
