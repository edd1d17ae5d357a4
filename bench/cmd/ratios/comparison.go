package main

import (
	"fmt"
	"math"
	"strings"

	"golang.org/x/perf/benchmath"
)

// comparison is one line of the table: ours beside a peer, in one unit.
type comparison struct {
	what      string
	benchmark string
	unit      string
	ours      string // implementations, as the benchmarks name them
	peer      string // empty: ours alone
	over      string // what to subtract from both first; empty: nothing
	by        measure
	most      float64 // the target; +Inf: shown without one
}

// measure is how a comparison comes to its figure.
type measure int

const (
	ratio      measure = iota // ours / peer
	difference                // ours - peer
	alone                     // ours
)

// outcome is what a comparison found, medians of the rounds.
type outcome struct {
	ours, peer float64
	figure     benchmath.Summary
	rounds     int
}

func (o outcome) reached(most float64) bool { return o.figure.Center <= most }

// confidence of the intervals.
const confidence = 0.95

// apply compares round by round. It reports false when one side was not
// measured.
func (c comparison) apply(m results) (outcome, bool, error) {
	ours, peer, over := m.of(c, c.ours), m.of(c, c.peer), m.of(c, c.over)
	if len(ours) == 0 || c.peer != "" && len(peer) == 0 || c.over != "" && len(over) == 0 {
		return outcome{}, false, nil
	}
	for _, other := range [][]float64{peer, over} {
		if other != nil && len(other) != len(ours) {
			return outcome{}, false, fmt.Errorf("%s: %d rounds of %s but %d of what it is compared with: a run was cut short",
				c.benchmark, len(ours), c.ours, len(other))
		}
	}
	figures := make([]float64, len(ours))
	a, b := make([]float64, len(ours)), make([]float64, len(ours))
	for i := range ours {
		a[i] = ours[i]
		if peer != nil {
			b[i] = peer[i]
		}
		if over != nil {
			a[i] -= over[i]
			b[i] -= over[i]
		}
		switch c.by {
		case ratio:
			figures[i] = a[i] / b[i]
		case difference:
			figures[i] = a[i] - b[i]
		case alone:
			figures[i] = a[i]
		}
		if math.IsNaN(figures[i]) || math.IsInf(figures[i], 0) {
			return outcome{}, false, fmt.Errorf("%s: round %d: %v cannot be compared with %v", c.benchmark, i+1, a[i], b[i])
		}
	}
	return outcome{median(a).Center, median(b).Center, median(figures), len(figures)}, true, nil
}

// median sorts the values.
func median(values []float64) benchmath.Summary {
	sample := benchmath.NewSample(values, &benchmath.DefaultThresholds)
	return benchmath.AssumeNothing.Summary(sample, confidence)
}

// of returns the rounds of one implementation, nil for none.
func (m results) of(c comparison, impl string) []float64 {
	if impl == "" {
		return nil
	}
	return m[series{c.benchmark + "/impl=" + impl, c.unit}]
}

// quantity formats a value in the comparison's unit.
func (c comparison) quantity(v float64) string {
	if c.unit != "sec/op" {
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + " " + strings.TrimSuffix(c.unit, "/op")
	}
	for _, u := range []struct {
		name string
		in   float64
	}{{"s", 1}, {"ms", 1e-3}, {"µs", 1e-6}} {
		if math.Abs(v) >= u.in {
			return fmt.Sprintf("%.3g %s", v/u.in, u.name)
		}
	}
	return fmt.Sprintf("%.3g ns", v*1e9)
}

// figure formats the comparison's figure.
func (c comparison) figure(v float64) string {
	switch c.by {
	case ratio:
		return fmt.Sprintf("%.2fx", v)
	case difference:
		return fmt.Sprintf("%+.3g", v)
	default:
		return c.quantity(v)
	}
}
