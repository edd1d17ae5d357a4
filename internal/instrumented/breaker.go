package instrumented

import (
	"context"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

const (
	// The breaker opens when this many of the last trialWindow steps failed.
	trialFailures = 5
	trialWindow   = 10
	// probeEvery is the pause between probes of a Redis that was given up.
	probeEvery = 200 * time.Millisecond
	// probePatience is how long a probe waits for an answer, at least.
	probePatience = 500 * time.Millisecond
)

// breaker keeps requests away from a Redis that does not answer. While it is
// open a background probe, never a request, finds out when Redis is back.
type breaker struct {
	circuitbreaker.CircuitBreaker[any]
	opened chan struct{}
}

func newBreaker() *breaker {
	b := &breaker{opened: make(chan struct{}, 1)}
	b.CircuitBreaker = circuitbreaker.NewBuilder[any]().
		WithFailureThresholdRatio(trialFailures, trialWindow).
		WithDelay(365 * 24 * time.Hour). // only the probe closes it
		OnOpen(func(circuitbreaker.StateChangedEvent) {
			select {
			case b.opened <- struct{}{}:
			default:
			}
		}).
		Build()
	return b
}

// watch calls lost when the breaker opens, and closes it again once recovered
// returns nil. It ends with ctx.
func (b *breaker) watch(ctx context.Context, lost func(), recovered func(context.Context) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.opened:
		}
		lost()
		for recovered(ctx) != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(probeEvery):
			}
		}
		b.Close()
	}
}
