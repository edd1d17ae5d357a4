package instrumented

import (
	"maps"
	"math"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Histogram is a distribution of seconds in exponential buckets, as Prometheus'
// native histograms have them: bucket i of schema s ends at 2^(i/2^s).
type Histogram struct {
	schema  int32
	zero    uint64 // observations too small for a bucket
	buckets map[int]uint64
	count   uint64
}

func histogramOf(o prometheus.Observer) Histogram {
	metric, ok := o.(prometheus.Metric)
	if !ok {
		return Histogram{}
	}
	var d dto.Metric
	if err := metric.Write(&d); err != nil {
		return Histogram{}
	}
	return histogramFrom(d.GetHistogram())
}

func histogramFrom(n *dto.Histogram) Histogram {
	h := Histogram{
		schema: n.GetSchema(), zero: n.GetZeroCount(), count: n.GetSampleCount(),
		buckets: make(map[int]uint64),
	}
	index, held, delta := 0, int64(0), n.GetPositiveDelta()
	for _, span := range n.GetPositiveSpan() {
		index += int(span.GetOffset())
		for range span.GetLength() {
			held += delta[0]
			delta = delta[1:]
			h.buckets[index] = uint64(held)
			index++
		}
	}
	return h
}

// Count returns the number of observations.
func (h Histogram) Count() uint64 { return h.count }

// Sub returns what was observed since an earlier state of the same histogram.
// When the histogram was reset or changed its resolution in between, that
// cannot be told and all of h is returned.
func (h Histogram) Sub(earlier Histogram) Histogram {
	if earlier.count == 0 {
		return h
	}
	if h.schema != earlier.schema || h.count < earlier.count {
		return h
	}
	d := Histogram{
		schema: h.schema, zero: h.zero - earlier.zero, count: h.count - earlier.count,
		buckets: make(map[int]uint64),
	}
	for i, n := range h.buckets {
		if since := n - earlier.buckets[i]; since > 0 {
			d.buckets[i] = since
		}
	}
	return d
}

// Add returns the observations of both. Histograms of different resolutions
// are not added: the one with more observations is returned.
func (h Histogram) Add(other Histogram) Histogram {
	switch {
	case other.count == 0:
		return h
	case h.count == 0:
		return other
	case h.schema != other.schema:
		if h.count >= other.count {
			return h
		}
		return other
	}
	sum := Histogram{
		schema: h.schema, zero: h.zero + other.zero, count: h.count + other.count,
		buckets: maps.Clone(h.buckets),
	}
	for i, n := range other.buckets {
		sum.buckets[i] += n
	}
	return sum
}

// Quantile returns the q-quantile in seconds, the geometric middle of its
// bucket, and false when nothing was observed.
func (h Histogram) Quantile(q float64) (seconds float64, ok bool) {
	total := h.zero
	for _, n := range h.buckets {
		total += n
	}
	if total == 0 {
		return 0, false
	}
	rank := uint64(math.Ceil(q * float64(total)))
	seen := h.zero
	if seen >= rank && seen > 0 {
		return 0, true
	}
	perOctave := math.Exp2(float64(h.schema))
	for _, i := range slices.Sorted(maps.Keys(h.buckets)) {
		if seen += h.buckets[i]; seen >= rank {
			return math.Exp2((float64(i) - 0.5) / perOctave), true
		}
	}
	return 0, false
}
