package instrumented

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// Typed is a cache's view of one family whose values are of type T. Values are
// stored as JSON, []byte as it is.
type Typed[T any] struct {
	cache  *Cache
	family *families.Family
	until  func(T) time.Time // nil: the family's TTL alone
}

// For returns the view of a family.
func For[T any](c *Cache, f *families.Family) Typed[T] {
	return Typed[T]{cache: c, family: f}
}

// Until makes entries end when their value does, if that is before the
// family's TTL. The zero time means no such limit.
func (t Typed[T]) Until(end func(T) time.Time) Typed[T] {
	t.until = end
	return t
}

// Get returns the cached value, and false when there is none or Redis does not
// answer in time. It takes no lease and loads nothing. An invalid id is an
// error.
func (t Typed[T]) Get(ctx context.Context, id string) (T, bool, error) {
	key, err := t.family.Key(id)
	if err != nil {
		return *new(T), false, err
	}
	l := t.cache.begin(ctx, key, opGet)
	v, _, found := look(ctx, t, &l)
	l.end()
	return v, found, nil
}

// Fetch returns the cached value or, on a miss, what load returns, and keeps
// that. Concurrent callers share one load, across processes too. Nothing is
// kept when load fails, or when the key was invalidated since the load began.
// Values may be shared by several callers and must not be modified.
//
// The load runs on a context of its own that ends after the load timeout; the
// caller's context only bounds the caller's wait.
func (t Typed[T]) Fetch(ctx context.Context, id string, load func(context.Context) (T, error)) (T, error) {
	key, err := t.family.Key(id)
	if err != nil {
		return *new(T), err
	}
	l := t.cache.begin(ctx, key, opFetch)
	defer l.end()
	v, usable, found := look(ctx, t, &l)
	if found {
		return v, nil
	}
	if l.result == Bypass {
		return t.load(l.ctx, load)
	}
	shared, err := t.cache.flights.do(l.ctx, key.String(), func() (any, error) {
		return t.lead(context.WithoutCancel(l.ctx), key, usable, load)
	})
	if err != nil {
		return *new(T), err
	}
	return shared.(T), nil
}

// look asks Redis for the value. usable says that Redis answered and the key
// may be leased and filled.
func look[T any](ctx context.Context, t Typed[T], l *lookup) (v T, usable, found bool) {
	c := t.cache
	if r := requestFrom(ctx); r.Bypasses() {
		l.is(Bypass, reasonRequested)
		return v, false, false
	}
	if c.redis == nil {
		l.is(Bypass, reasonNoCache)
		return v, false, false
	}
	if c.drops.has(l.key) {
		l.is(Error, reasonUnavailable)
		return v, false, false
	}
	var raw []byte
	err := c.step(l.ctx, func(ctx context.Context) (err error) {
		raw, err = c.redis.get(ctx, l.key)
		return err
	})
	switch {
	case err != nil:
		l.is(Error, failureReason(err))
		return v, false, false
	case raw == nil || isLease(raw):
		l.is(Miss, reasonUnknown)
		return v, true, false
	}
	v, err = t.open(l.key, raw)
	switch {
	case errors.Is(err, errExpired):
		l.is(Miss, reasonUnknown)
		return v, true, false
	case err != nil:
		l.is(Miss, reasonDamaged)
		c.discard(l.ctx, l.key)
		return v, true, false
	}
	l.size = len(raw)
	l.is(Hit, reasonNone)
	return v, true, true
}

// lead loads a missing value under a lease. usable says that Redis answered.
func (t Typed[T]) lead(ctx context.Context, key families.Key, usable bool, load func(context.Context) (T, error)) (T, error) {
	if !usable {
		return t.load(ctx, load)
	}
	c := t.cache
	lease, raw, leased := c.acquire(ctx, key)
	if raw != nil {
		if v, err := t.open(key, raw); err == nil {
			return v, nil
		}
	}
	if !leased {
		return t.load(ctx, load)
	}
	start := time.Now()
	v, err := t.load(ctx, load)
	if err != nil {
		c.release(ctx, key, lease)
		return v, err
	}
	e, err := t.seal(key, lease, v, 0, time.Since(start))
	if err != nil {
		c.release(ctx, key, lease)
		c.logger.Error("a value cannot be cached", "family", key.Family().Name, "error", err)
		return v, nil
	}
	c.fill(ctx, e)
	return v, nil
}

func (t Typed[T]) load(ctx context.Context, load func(context.Context) (T, error)) (T, error) {
	return timedLoad(ctx, t.cache, t.family, load)
}

// timedLoad runs a loader under the load timeout, timed and traced.
func timedLoad[V any](ctx context.Context, c *Cache, f *families.Family, load func(context.Context) (V, error)) (V, error) {
	ctx, cancel := context.WithTimeout(ctx, c.loadTimeout)
	defer cancel()
	ctx, end := c.span(ctx, "load", f)
	start := time.Now()
	v, err := load(ctx)
	c.metrics.loaded(f, time.Since(start), ctx)
	end(err)
	return v, err
}

var errExpired = errors.New("past its lifetime")

// open decodes what Redis returned for the key.
func (t Typed[T]) open(key families.Key, raw []byte) (v T, err error) {
	e, err := decode(key, raw)
	if err != nil {
		return v, err
	}
	if !time.Now().Before(e.expires) {
		return v, errExpired
	}
	if b, ok := any(&v).(*[]byte); ok {
		*b = e.payload
		return v, nil
	}
	if err := json.Unmarshal(e.payload, &v); err != nil {
		return v, fmt.Errorf("decoding a %s: %w", t.family, err)
	}
	return v, nil
}

// maxJitter is the share by which a lifetime is shortened at most, so that
// entries stored together do not expire together.
const maxJitter = 0.1

// seal encodes a value as an entry that is to replace the stamp. ttl 0 means
// the family's; a longer one is cut to it. A value that has ended already is
// an error.
func (t Typed[T]) seal(key families.Key, over stamp, v T, ttl, loadTime time.Duration) (entry, error) {
	most := t.cache.TTL(t.family)
	if ttl == 0 || ttl > most {
		ttl = most
	}
	ttl -= time.Duration(rand.Float64() * maxJitter * float64(ttl))
	if t.until != nil {
		if end := t.until(v); !end.IsZero() {
			ttl = min(ttl, time.Until(end))
		}
	}
	if ttl < time.Millisecond {
		return entry{}, fmt.Errorf("%s: lifetime %v: %w", t.family, ttl, errExpired)
	}
	payload, err := encode(v)
	if err != nil {
		return entry{}, fmt.Errorf("encoding a %s: %w", t.family, err)
	}
	envelope := envelope{
		stamp: newStamp(kindValue), expires: time.Now().Add(ttl), loadTime: loadTime, payload: payload,
	}
	return entry{key: key, over: over, value: envelope.encode(key), ttl: ttl + t.family.StaleFor}, nil
}

func encode(v any) ([]byte, error) {
	if b, ok := v.([]byte); ok {
		return b, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
