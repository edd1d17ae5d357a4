package instrumented

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// ErrOverloaded is returned by a lookup that needed the origin while as many
// loads as allowed were running, and none ended in time. Trying again later
// can succeed.
var ErrOverloaded = errors.New("too many loads from the origin are running")

// ErrPanicked is wrapped by the error of a lookup whose loader panicked.
var ErrPanicked = errors.New("the loader panicked")

// bulkhead bounds the loads that run at once, so that losing the cache does
// not take the origin down with it.
type bulkhead struct {
	places chan struct{}
	wait   time.Duration // for a place
}

func newBulkhead(limit int, wait time.Duration) *bulkhead {
	return &bulkhead{places: make(chan struct{}, limit), wait: wait}
}

func (b *bulkhead) running() int { return len(b.places) }
func (b *bulkhead) limit() int   { return cap(b.places) }

// enter takes a place, waiting for one when patient. It fails with
// ErrOverloaded when there is none in time.
func (b *bulkhead) enter(ctx context.Context, patient bool) error {
	select {
	case b.places <- struct{}{}:
		return nil
	default:
	}
	if !patient {
		return ErrOverloaded
	}
	late := time.NewTimer(b.wait)
	defer late.Stop()
	select {
	case b.places <- struct{}{}:
		return nil
	case <-late.C:
		return ErrOverloaded
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *bulkhead) leave() { <-b.places }

// nested marks the context of a load: what it looks up itself needs no second
// place, which could be one that only its own end would free.
type nested struct{}

// background marks the context of work that nobody waits for.
type background struct{}

// load runs a loader under the load timeout and the bulkhead, timed and
// traced.
func load[V any](ctx context.Context, c *Cache, v *view, loader func(context.Context) (V, error)) (value V, err error) {
	if ctx.Value(nested{}) == nil {
		if err := c.loads.enter(ctx, ctx.Value(background{}) == nil); err != nil {
			if errors.Is(err, ErrOverloaded) {
				v.shed.Inc()
			}
			return value, err
		}
		defer c.loads.leave()
		ctx = context.WithValue(ctx, nested{}, true)
	}
	ctx, cancel := context.WithTimeout(ctx, c.loadTimeout)
	defer cancel()
	ctx, end := c.span(ctx, v, spanLoad)
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			// What a loader panics with may hold ids and values.
			c.logger.Error("a loader panicked", "family", v.family.Name, "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			err = fmt.Errorf("%s: %w", v.family, ErrPanicked)
		}
		v.loaded(ctx, time.Since(start))
		end(err)
	}()
	return loader(ctx)
}
