package instrumented

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"

	"github.com/oglab/ogcache/internal/families"
)

const (
	// freshnessPerSecond bounds what the checks ask of the origin.
	freshnessPerSecond = 10
	// secondLookAfter is long enough for the invalidation of a write that was
	// under way to arrive, by the request or by the outbox.
	secondLookAfter = time.Second
)

// Outcomes of a freshness check.
const (
	checkFresh   = "fresh"   // as in the origin
	checkChanged = "changed" // it differed, and was replaced or dropped meanwhile
	checkStale   = "stale"   // it differed, and still did at the second look
	checkFailed  = "error"   // the origin or Redis did not answer
)

// freshness picks the hits that are compared with the origin.
type freshness struct {
	below  uint64 // of 2^64: the share of hits
	bucket *rate.Limiter
}

func newFreshness(share float64) *freshness {
	f := &freshness{bucket: rate.NewLimiter(freshnessPerSecond, freshnessPerSecond)}
	switch {
	case share >= 1:
		f.below = math.MaxUint64
	case share > 0:
		f.below = uint64(share * (1 << 63) * 2)
	}
	return f
}

func (f *freshness) sampled() bool { return f.below > 0 && rand.Uint64() <= f.below }

// check compares a value that was just served with the origin.
func (t Typed[T]) check(ctx context.Context, key families.Key, e envelope, loader func(context.Context) (T, error)) {
	c := t.cache
	if !c.freshness.bucket.Allow() {
		return
	}
	c.later(ctx, func(ctx context.Context) {
		outcome := t.compare(ctx, key, e, loader)
		t.view.checked(outcome)
		if outcome == checkStale {
			c.logger.Error("a cached value is older than the origin's", "family", t.view.family.Name)
			c.discard(ctx, key)
		}
	})
}

func (t Typed[T]) compare(ctx context.Context, key families.Key, e envelope, loader func(context.Context) (T, error)) string {
	same, err := t.same(ctx, e, loader)
	if err != nil {
		return checkOutcome(err)
	}
	if same {
		return checkFresh
	}
	select {
	case <-ctx.Done():
		return checkFailed
	case <-time.After(secondLookAfter):
	}
	var raw []byte
	if err := t.cache.step(ctx, func(ctx context.Context) (err error) {
		raw, err = t.cache.redis.get(ctx, key)
		return err
	}); err != nil {
		return checkFailed
	}
	now, err := decode(digest(key), t.schema, raw)
	if err != nil || now.stamp != e.stamp {
		return checkChanged
	}
	switch same, err := t.same(ctx, e, loader); {
	case err != nil:
		return checkOutcome(err)
	case same:
		return checkChanged // the origin went back and forth
	default:
		return checkStale
	}
}

// same reports whether the origin has what the envelope holds.
func (t Typed[T]) same(ctx context.Context, e envelope, loader func(context.Context) (T, error)) (bool, error) {
	v, err := t.load(ctx, loader)
	if err != nil {
		return false, err
	}
	if v.none != nil || e.absent() {
		return v.none != nil && e.absent(), nil
	}
	payload, err := encodeValue(v.value)
	return bytes.Equal(payload, e.payload), err
}

func checkOutcome(err error) string {
	if errors.Is(err, ErrOverloaded) {
		return loadSkipped
	}
	return checkFailed
}
