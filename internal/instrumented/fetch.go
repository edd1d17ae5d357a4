package instrumented

import (
	"context"
	"errors"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// Fetch returns the cached value or, on a miss, what loader returns, and keeps
// that. Concurrent callers share one load, across processes too, but none gets
// a value that is older than an invalidation that it could have seen. Nothing
// is kept when the load fails, or when the key was invalidated since it began.
//
// A value that is about to expire may be refreshed in the background. One that
// has expired within the family's StaleFor is served while it is refreshed,
// while the origin is slow, or when it fails.
//
// The load runs on a context of its own that ends after the load timeout; the
// caller's context only bounds the caller's wait.
func (t Typed[T]) Fetch(ctx context.Context, id string, loader func(context.Context) (T, error)) (T, error) {
	if a, now, ok := t.lookNear(ctx, id, opFetch); ok {
		t.tend(ctx, id, a.envelope, now, loader)
		return t.reply(a)
	}
	key, err := t.view.family.Key(id)
	if err != nil {
		return *new(T), err
	}
	l := t.cache.begin(ctx, t.view, key, opFetch)
	defer l.end()
	a := t.look(&l)
	switch {
	case a.found:
		t.tend(l.ctx, id, a.envelope, l.start, loader)
		return t.reply(a)
	case ctx.Err() != nil:
		return *new(T), ctx.Err()
	case l.outcome.result() == Bypass:
		return load(l.ctx, t.cache, t.view, loader)
	case a.expired && !a.envelope.absent() && t.view.staleFor > 0:
		return t.fetchExpired(&l, a, loader)
	}
	return t.share(l.ctx, &l, a, loader)
}

// fetchExpired answers from a value past its lifetime unless the origin is
// quicker, or the value has only just expired and is refreshed meanwhile.
func (t Typed[T]) fetchExpired(l *lookup, a answer[T], loader func(context.Context) (T, error)) (T, error) {
	if l.start.Sub(a.envelope.expires) < revalidateFor {
		l.outcome = staleRevalidating
		t.refresh(l.ctx, l.key, a.envelope, loader)
		return a.value, nil
	}
	patient, cancel := context.WithTimeout(l.ctx, t.cache.softTimeout)
	defer cancel()
	v, err := t.share(patient, l, a, loader)
	switch {
	case err == nil, t.isAbsent(err), l.ctx.Err() != nil:
		return v, err
	case patient.Err() != nil:
		l.outcome = staleOriginSlow
	default:
		l.outcome = staleOriginFailed
	}
	return a.value, nil
}

// share loads a missing value together with all who miss it now.
func (t Typed[T]) share(ctx context.Context, l *lookup, a answer[T], loader func(context.Context) (T, error)) (T, error) {
	detached := context.WithoutCancel(l.ctx)
	shared, joined, err := t.cache.flights.do(ctx, l.key.String(), func(f *flight) (any, error) {
		v, err := t.lead(detached, f, l.key, a, loader)
		return v, err
	})
	if joined {
		t.view.joined.Inc()
	}
	if err != nil {
		return *new(T), err
	}
	v, ok := shared.(loaded[T])
	if !ok { // of a view with another type
		return load(l.ctx, t.cache, t.view, loader)
	}
	return v.value, v.none
}

// lead loads a missing value and stores it over a lease, or over the expired
// value that stands in its place.
func (t Typed[T]) lead(ctx context.Context, f *flight, key families.Key, a answer[T], loader func(context.Context) (T, error)) (loaded[T], error) {
	trusted, ok := t.cache.trust.begin()
	if !a.usable || !ok || t.cache.drops.has(key) {
		f.reads()
		return t.load(ctx, loader)
	}
	over := a.envelope.stamp
	if !a.expired {
		lease, raw, leased := t.cache.acquire(ctx, f, t.view, key)
		if raw != nil && t.cache.trust.still(trusted) {
			if a, _ := t.read(ctx, key, digest(key), raw, time.Time{}, time.Now()); a.found {
				return t.asLoaded(a), nil
			}
		}
		if !leased {
			f.reads()
			return t.load(ctx, loader)
		}
		over = lease
	}
	f.reads()
	start := time.Now()
	v, err := t.load(ctx, loader)
	if err != nil {
		if !a.expired { // else it stays, to be served meanwhile
			t.cache.release(ctx, t.view, key, over)
		}
		return v, err
	}
	// From here on the fill is on its way: whoever comes now may have seen an
	// invalidation that comes after it.
	f.land()
	// A server that was restarted meanwhile may have brought the lease back
	// after an invalidation.
	f.filled = t.store(ctx, key, over, v, time.Since(start)) == fillStored && t.cache.trust.still(trusted)
	return v, nil
}

// load runs the loader. That there is no such value is no error here.
func (t Typed[T]) load(ctx context.Context, loader func(context.Context) (T, error)) (loaded[T], error) {
	v, err := load(ctx, t.cache, t.view, loader)
	if t.isAbsent(err) {
		return loaded[T]{none: err}, nil
	}
	return loaded[T]{value: v}, err
}

func (t Typed[T]) asLoaded(a answer[T]) loaded[T] {
	v := loaded[T]{value: a.value}
	if a.envelope.absent() {
		v.none = t.noSuchValue()
	}
	return v
}

// store puts what was loaded over the stamp and returns what became of it.
func (t Typed[T]) store(ctx context.Context, key families.Key, over stamp, v loaded[T], loadTime time.Duration) (outcome string) {
	c := t.cache
	e, err := t.seal(key, over, v, 0, loadTime)
	if err != nil {
		c.release(ctx, t.view, key, over)
		outcome = whyNotSealed(err)
		t.view.filled(outcome)
		if outcome != fillEnded {
			c.logger.Error("a value cannot be cached", "family", t.view.family.Name, "error", err)
		}
		return outcome
	}
	outcome, _ = c.fill(ctx, t.view, e)
	return outcome
}

func whyNotSealed(err error) string {
	switch {
	case errors.Is(err, errEnded):
		return fillEnded
	case errors.Is(err, errTooLarge):
		return fillTooLarge
	default:
		return fillFailed
	}
}
