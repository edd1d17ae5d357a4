package instrumented

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/oglab/ogcache/internal/families"
)

const (
	// leaseMargin is how much longer a lease lives than the load that it is for.
	leaseMargin = time.Second
	// A waiter looks for another's fill after firstPoll, then after twice as
	// long, at most every lastPoll.
	firstPoll = 4 * time.Millisecond
	lastPoll  = 64 * time.Millisecond
)

// acquire takes the lease of a missing key. When somebody else holds it, it
// waits, bounded, for the value and returns that; when the wait was in vain it
// returns neither lease nor value, and the caller loads without storing.
func (c *Cache) acquire(ctx context.Context, key families.Key) (s stamp, raw []byte, leased bool) {
	s = newStamp(kindLease)
	deadline := time.Now().Add(c.leaseWait)
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		var old []byte
		spanned, end := c.span(ctx, "SET", key.Family())
		err := c.step(spanned, func(ctx context.Context) (err error) {
			old, err = c.redis.lease(ctx, key, s, c.loadTimeout+leaseMargin)
			return err
		})
		end(err)
		switch {
		case err != nil:
			return s, nil, false
		case old == nil:
			return s, nil, true
		case !isLease(old):
			return s, old, false
		}
		if time.Now().Add(pause).After(deadline) {
			return s, nil, false
		}
		select {
		case <-ctx.Done():
			return s, nil, false
		case <-time.After(pause):
		}
	}
}

// fill stores an entry over its lease, unless the key was invalidated.
func (c *Cache) fill(ctx context.Context, e entry) (stored bool, err error) {
	start := time.Now()
	ctx, end := c.span(ctx, "EVALSHA", e.key.Family())
	if s := trace.SpanFromContext(ctx); s.IsRecording() {
		s.SetAttributes(attribute.Float64("cache.ttl", e.ttl.Seconds()), attribute.Int("cache.item_size", len(e.value)))
	}
	err = c.step(ctx, func(ctx context.Context) (err error) {
		stored, err = c.redis.fill(ctx, e.key, e.over, e.value, e.ttl)
		return err
	})
	end(err)
	c.stored(ctx, opSet, e.key, stored, err, time.Since(start))
	return stored, err
}

// stored accounts for one entry that was to be stored.
func (c *Cache) stored(ctx context.Context, op operation, key families.Key, stored bool, err error, took time.Duration) {
	result := outcome(err)
	if err == nil && !stored {
		result = resultRefused
	}
	c.metrics.operation(key.Family(), op, result, took, ctx)
	if stored {
		c.observer.Stored(ctx, key)
	}
}

// release drops a lease whose load failed, so that others need not wait for it
// to expire.
func (c *Cache) release(ctx context.Context, key families.Key, s stamp) {
	_ = c.step(ctx, func(ctx context.Context) error { return c.redis.release(ctx, key, s) })
}

// discard drops a value that cannot be used, so that it is loaded anew.
func (c *Cache) discard(ctx context.Context, key families.Key) {
	_ = c.step(ctx, func(ctx context.Context) error { return c.redis.drop(ctx, []families.Key{key}) })
}

// failureReason turns an error of a step into the label that explains it.
func failureReason(err error) string {
	switch {
	case errors.Is(err, errOpen):
		return reasonOpen
	case errors.Is(err, errBudget), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return reasonTimeout
	default:
		return reasonUnavailable
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
