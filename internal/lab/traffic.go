package lab

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/oglab/ogcache/internal/scenarios"
)

// Traffic sends a model's events to a driver as independent users would:
// arrivals are a Poisson process that does not wait for answers.
type Traffic struct {
	Driver *Driver
	Model  *scenarios.Model
	Rate   float64 // events per second
	// Bypass is the share of events that go around the cache, so that what an
	// uncached operation costs is measured, not assumed.
	Bypass float64
	Logger *slog.Logger
}

// maxInFlight bounds the events under way; arrivals beyond it are dropped.
const maxInFlight = 512

// Run sends events until ctx ends, then waits for those under way.
func (t Traffic) Run(ctx context.Context) {
	var inFlight sync.WaitGroup
	defer inFlight.Wait()
	slots := make(chan struct{}, maxInFlight)
	next := time.Now()
	for i := uint64(0); ; i++ {
		next = next.Add(time.Duration(rand.ExpFloat64() / t.Rate * float64(time.Second)))
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(next)):
		}
		select {
		case slots <- struct{}{}:
		default:
			t.Logger.Warn("the demo's traffic is dropped: too many requests are under way", "in_flight", maxInFlight)
			continue
		}
		inFlight.Go(func() {
			defer func() { <-slots }()
			e := t.Model.Event(i)
			if _, err := t.Driver.Do(ctx, e, rand.Float64() < t.Bypass); err != nil && ctx.Err() == nil {
				t.Logger.Error("the demo's traffic failed", "operation", string(e.Operation), "error", err)
			}
		})
	}
}
