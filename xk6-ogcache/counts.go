package ogcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"go.k6.io/k6/v2/metrics"
	"go.k6.io/k6/v2/output"
)

// Latencies are kept in microseconds, 1 µs to 60 s, to 3 significant digits.
const (
	longest = 60_000_000
	digits  = 3

	flushEvery = 200 * time.Millisecond
)

// Summary is what the output writes: exact counts, and latencies to 3
// significant digits.
type Summary struct {
	Version    int            `json:"version"` // 1
	Operations []OperationRow `json:"operations"`
	Lookups    []LookupRow    `json:"lookups"`
	// Errors are the operations that failed; they are not among Operations.
	Errors []ErrorRow `json:"errors"`
	// Dropped are iterations that found no free virtual user.
	Dropped int64 `json:"droppedIterations"`
}

// OperationRow is the latency of one operation, in milliseconds.
type OperationRow struct {
	Operation string  `json:"operation"`
	Mode      string  `json:"mode"`
	Result    string  `json:"result"`
	Count     int64   `json:"count"`
	P50       float64 `json:"p50"`
	P95       float64 `json:"p95"`
	P99       float64 `json:"p99"`
	Max       float64 `json:"max"`
}

// LookupRow counts one family's lookups.
type LookupRow struct {
	Family string `json:"family"`
	Mode   string `json:"mode"`
	Result string `json:"result"`
	Count  int64  `json:"count"`
}

// ErrorRow counts one operation's failures.
type ErrorRow struct {
	Operation string `json:"operation"`
	Mode      string `json:"mode"`
	Count     int64  `json:"count"`
}

// counts is the output --out ogcache=FILE. Its memory does not grow with the
// length of the run.
type counts struct {
	output.SampleBuffer
	path    string
	flusher *output.PeriodicFlusher

	durations map[OperationRow]*hdrhistogram.Histogram // keyed without figures
	lookups   map[LookupRow]int64
	errors    map[ErrorRow]int64
	dropped   int64
}

func newCounts(p output.Params) (output.Output, error) {
	if p.ConfigArgument == "" {
		return nil, errors.New("the output ogcache needs a file: --out ogcache=FILE")
	}
	return &counts{
		path:      p.ConfigArgument,
		durations: make(map[OperationRow]*hdrhistogram.Histogram),
		lookups:   make(map[LookupRow]int64),
		errors:    make(map[ErrorRow]int64),
	}, nil
}

// Description implements output.Output.
func (c *counts) Description() string { return "ogcache (" + c.path + ")" }

// Start implements output.Output.
func (c *counts) Start() (err error) {
	c.flusher, err = output.NewPeriodicFlusher(flushEvery, c.flush)
	return err
}

// Stop implements output.Output. It writes the file whole or not at all.
func (c *counts) Stop() error {
	c.flusher.Stop()
	b, err := json.MarshalIndent(c.summary(), "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(c.path), ".ogcache-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", c.path, err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), c.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("writing %s: %w", c.path, err)
	}
	return nil
}

func (c *counts) flush() {
	for _, container := range c.GetBufferedSamples() {
		for _, s := range container.GetSamples() {
			c.add(s)
		}
	}
}

func (c *counts) add(s metrics.Sample) {
	tag := func(name string) string {
		v, _ := s.Tags.Get(name)
		return v
	}
	switch s.Metric.Name {
	case durationMetric:
		row := OperationRow{Operation: tag("operation"), Mode: tag("mode"), Result: tag("result")}
		h := c.durations[row]
		if h == nil {
			h = hdrhistogram.New(1, longest, digits)
			c.durations[row] = h
		}
		// Out of range cannot happen: the value is clamped to it.
		_ = h.RecordValue(min(max(int64(s.Value*1000), 1), longest))
	case lookupsMetric:
		c.lookups[LookupRow{Family: tag("family"), Mode: tag("mode"), Result: tag("result")}] += int64(s.Value)
	case errorsMetric:
		if s.Value != 0 {
			c.errors[ErrorRow{Operation: tag("operation"), Mode: tag("mode")}]++
		}
	case metrics.DroppedIterationsName:
		c.dropped += int64(s.Value)
	}
}

func (c *counts) summary() Summary {
	s := Summary{Version: 1, Operations: []OperationRow{}, Lookups: []LookupRow{}, Errors: []ErrorRow{}, Dropped: c.dropped}
	for row, h := range c.durations {
		at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
		row.Count, row.P50, row.P95, row.P99, row.Max = h.TotalCount(), at(50), at(95), at(99), float64(h.Max())/1000
		s.Operations = append(s.Operations, row)
	}
	for row, n := range c.lookups {
		row.Count = n
		s.Lookups = append(s.Lookups, row)
	}
	for row, n := range c.errors {
		row.Count = n
		s.Errors = append(s.Errors, row)
	}
	sort.Slice(s.Operations, func(i, j int) bool {
		a, b := s.Operations[i], s.Operations[j]
		return a.Operation+" "+a.Mode+" "+a.Result < b.Operation+" "+b.Mode+" "+b.Result
	})
	sort.Slice(s.Lookups, func(i, j int) bool {
		a, b := s.Lookups[i], s.Lookups[j]
		return a.Family+" "+a.Mode+" "+a.Result < b.Family+" "+b.Mode+" "+b.Result
	})
	sort.Slice(s.Errors, func(i, j int) bool {
		a, b := s.Errors[i], s.Errors[j]
		return a.Operation+" "+a.Mode < b.Operation+" "+b.Mode
	})
	return s
}
