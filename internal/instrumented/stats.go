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
	s := Stats{At: time.Now(), Families: make(map[string]FamilyStats)}
	for _, f := range families.All() {
		s.Families[f.Name] = FamilyStats{
			Lookups: make(map[Result]uint64),
			Hit:     histogramOf(c.metrics.fetches[f][Hit]),
			Miss:    histogramOf(c.metrics.fetches[f][Miss]),
			Bypass:  histogramOf(c.metrics.fetches[f][Bypass]),
			Origin:  histogramOf(c.metrics.loads[f]),
		}
	}
	for _, m := range collect(c.metrics.lookups) {
		var family, result string
		for _, l := range m.GetLabel() {
			switch l.GetName() {
			case "family":
				family = l.GetValue()
			case "result":
				result = l.GetValue()
			}
		}
		s.Families[family].Lookups[Result(result)] += uint64(m.GetCounter().GetValue())
	}
	return s
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
