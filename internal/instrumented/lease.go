package instrumented

import (
	"bytes"
	"context"
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
func (c *Cache) acquire(ctx context.Context, f *flight, v *view, key families.Key) (s stamp, raw []byte, leased bool) {
	s = newStamp(kindLease)
	deadline := time.Now().Add(c.leaseWait)
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		if c.drops.has(key) {
			return s, nil, false // what is read now may be older than that drop
		}
		var old []byte
		f.reads()
		spanned, end := c.span(ctx, v, spanSET)
		err := c.step(spanned, func(ctx context.Context) (err error) {
			old, err = c.redis.lease(ctx, key, s, c.loadTimeout+leaseMargin)
			return err
		})
		end(err)
		switch {
		case err != nil:
			return s, nil, false
		case old == nil, bytes.Equal(old, s[:]): // a repeated command meets its own lease
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

// fill stores an entry over its stamp, unless the key was invalidated or the
// stamp replaced, and returns what became of it.
func (c *Cache) fill(ctx context.Context, v *view, e entry) (outcome string, err error) {
	start := time.Now()
	ctx, end := c.span(ctx, v, spanEVALSHA)
	if s := trace.SpanFromContext(ctx); s.IsRecording() {
		s.SetAttributes(attribute.Float64("cache.ttl", e.ttl.Seconds()), attribute.Int("cache.item_size", len(e.value)))
	}
	var done bool
	err = c.step(ctx, func(ctx context.Context) (err error) {
		done, err = c.redis.fill(ctx, e.key, e.over, e.value, e.ttl)
		return err
	})
	end(err)
	outcome = c.accountForFill(ctx, v, e, done, err)
	result := resultOK
	switch outcome {
	case fillRefused:
		result = resultRefused
	case fillFailed:
		result = Error
	}
	v.operation(ctx, opSet, result, time.Since(start))
	return outcome, err
}

// fillMany stores entries in one round trip and returns what became of each.
// One that fails does not fail the others.
func (c *Cache) fillMany(ctx context.Context, entries []entry) []string {
	if len(entries) == 0 {
		return nil
	}
	// The leases are taken: a caller that left must not leave them behind.
	ctx = context.WithoutCancel(ctx)
	start := time.Now()
	v := c.view(entries[0].key.Family())
	spanned, end := c.span(ctx, v, spanEVAL)
	var done []bool
	var errs []error
	err := c.step(spanned, func(ctx context.Context) error {
		done, errs = c.redis.fillMany(ctx, entries)
		for _, err := range errs {
			if err != nil && !answered(err) {
				return err
			}
		}
		return nil
	})
	end(err)
	outcomes := make([]string, len(entries))
	worst := resultOK
	for i, e := range entries {
		entryErr := err
		if errs != nil {
			entryErr = errs[i]
		}
		outcomes[i] = c.accountForFill(spanned, c.view(e.key.Family()), e, done != nil && done[i], entryErr)
		if outcomes[i] == fillFailed {
			worst = Error
		}
	}
	v.operation(spanned, opBatchSet, worst, time.Since(start))
	return outcomes
}

// accountForFill counts and remembers what became of one entry.
func (c *Cache) accountForFill(ctx context.Context, v *view, e entry, done bool, err error) (outcome string) {
	switch {
	case err != nil:
		outcome = fillFailed
		c.abandon(e.key)
		c.history.note(digest(e.key), failed, time.Time{})
	case !done:
		outcome = fillRefused
		c.history.note(digest(e.key), refused, time.Time{})
	default:
		outcome = fillStored
		c.history.note(digest(e.key), stored, e.expires)
		if c.observer != nil {
			c.observer.Stored(ctx, e.key)
		}
	}
	v.filled(outcome)
	return outcome
}

// release drops a lease whose load failed, so that others need not wait for it
// to expire.
func (c *Cache) release(ctx context.Context, v *view, key families.Key, s stamp) {
	// A caller that left must not make others wait for its lease to end.
	ctx, end := c.span(context.WithoutCancel(ctx), v, spanEVALSHA)
	err := c.step(ctx, func(ctx context.Context) error { return c.redis.release(ctx, key, s) })
	end(err)
	if err != nil {
		c.abandon(key)
	}
}

// abandon sees to it that a lease of which Redis did not hear again is dropped
// as soon as it answers, so that readers do not wait for it to end.
func (c *Cache) abandon(key families.Key) {
	if c.redis != nil {
		_ = c.drops.add([]families.Key{key}) // one that is too many ends by itself
	}
}

// discard drops a value that cannot be used, so that it is loaded anew.
func (c *Cache) discard(ctx context.Context, key families.Key) {
	v := c.view(key.Family())
	ctx, end := c.span(ctx, v, spanDEL)
	end(c.step(ctx, func(ctx context.Context) error { return c.redis.drop(ctx, []families.Key{key}) }))
	v.near.forget(key.ID())
}
