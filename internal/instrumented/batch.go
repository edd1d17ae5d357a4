package instrumented

import (
	"context"
	"errors"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// GetMany returns the cached values of several ids in one round trip, keyed by
// id. Ids without a value, or all when Redis does not answer, are absent.
func (t Typed[T]) GetMany(ctx context.Context, ids []string) (map[string]T, error) {
	keys, err := t.keys(ids)
	if err != nil {
		return nil, err
	}
	found, _ := t.lookMany(ctx, keys)
	return found, nil
}

// FetchMany is Fetch for several ids: one round trip for what is cached, one
// lease round trip, one load and one store for what is missing. load returns
// the values that exist, keyed by id. Ids that nobody has are absent.
func (t Typed[T]) FetchMany(ctx context.Context, ids []string,
	load func(ctx context.Context, missing []string) (map[string]T, error)) (map[string]T, error) {
	keys, err := t.keys(ids)
	if err != nil {
		return nil, err
	}
	found, usable := t.lookMany(ctx, keys)
	missing := without(keys, found)
	if len(missing) == 0 {
		return found, nil
	}
	var reserved []Reservation
	if usable {
		reserved, _ = t.reserve(ctx, missing) // without leases nothing is stored
	}
	loaded, err := t.loadMany(ctx, missing, load)
	if err != nil {
		return nil, err
	}
	t.keep(ctx, reserved, loaded)
	for id, v := range loaded {
		found[id] = v
	}
	return found, nil
}

// Warm loads and stores those of the ids that are not cached, and returns how
// many it stored. It counts no lookups: nobody asked for these keys.
func (t Typed[T]) Warm(ctx context.Context, ids []string,
	load func(ctx context.Context, missing []string) (map[string]T, error)) (stored int, err error) {
	ctx = t.cache.unhurried(ctx)
	reserved, err := t.Reserve(ctx, ids)
	if err != nil || len(reserved) == 0 {
		return 0, err
	}
	keys := make([]families.Key, len(reserved))
	for i, r := range reserved {
		keys[i] = r.key
	}
	loaded, err := t.loadMany(ctx, keys, load)
	if err != nil {
		for _, r := range reserved {
			t.cache.release(ctx, r.key, r.stamp)
		}
		return 0, err
	}
	return t.keep(ctx, reserved, loaded)
}

// A Reservation is a lease on a missing key: the right to store its value,
// unless the key is invalidated first. It must be taken before the value is
// read from the origin.
type Reservation struct {
	key   families.Key
	stamp stamp
}

// ID returns the id that was reserved.
func (r Reservation) ID() string { return r.key.ID() }

// Reserve takes leases on those of the ids that have no value, in one round
// trip. Ids that have one, or that somebody else is loading, are left out.
func (t Typed[T]) Reserve(ctx context.Context, ids []string) ([]Reservation, error) {
	keys, err := t.keys(ids)
	if err != nil {
		return nil, err
	}
	return t.reserve(ctx, keys)
}

func (t Typed[T]) reserve(ctx context.Context, keys []families.Key) ([]Reservation, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	c := t.cache
	stamps := make([]stamp, len(keys))
	for i := range stamps {
		stamps[i] = newStamp(kindLease)
	}
	var olds [][]byte
	ctx, end := c.span(ctx, "SET", t.family)
	err := c.step(ctx, func(ctx context.Context) (err error) {
		olds, err = c.redis.leaseMany(ctx, keys, stamps, c.loadTimeout+leaseMargin)
		return err
	})
	end(err)
	if err != nil {
		return nil, err
	}
	var reserved []Reservation
	for i, old := range olds {
		if old == nil {
			reserved = append(reserved, Reservation{keys[i], stamps[i]})
		}
	}
	return reserved, nil
}

// Item is a value on its way into a reserved key.
type Item[T any] struct {
	Reservation Reservation
	Value       T
	// TTL shortens the entry's lifetime; 0 means the family's.
	TTL time.Duration
}

// Set stores one value under its reservation. It reports false when the key
// was invalidated or cleared since it was reserved.
func (t Typed[T]) Set(ctx context.Context, item Item[T]) (bool, error) {
	e, err := t.seal(item.Reservation.key, item.Reservation.stamp, item.Value, item.TTL, 0)
	if err != nil {
		return false, err
	}
	return t.cache.fill(ctx, e)
}

// SetMany is Set for several items in one round trip; it reports which were
// stored, in their order.
func (t Typed[T]) SetMany(ctx context.Context, items []Item[T]) ([]bool, error) {
	if len(items) == 0 {
		return nil, nil
	}
	c := t.cache
	entries := make([]entry, len(items))
	for i, item := range items {
		e, err := t.seal(item.Reservation.key, item.Reservation.stamp, item.Value, item.TTL, 0)
		if err != nil {
			return nil, err
		}
		entries[i] = e
	}
	start := time.Now()
	ctx, end := c.span(ctx, "EVAL", t.family)
	var stored []bool
	err := c.step(ctx, func(ctx context.Context) (err error) {
		stored, err = c.redis.fillMany(ctx, entries)
		return err
	})
	end(err)
	c.metrics.operation(t.family, opBatchSet, outcome(err), time.Since(start), ctx)
	if err != nil {
		return nil, err
	}
	for i, ok := range stored {
		if ok {
			c.observer.Stored(ctx, entries[i].key)
		}
	}
	return stored, nil
}

// keep stores the loaded values under their reservations, gives up those that
// have no value, and returns how many were stored.
func (t Typed[T]) keep(ctx context.Context, reserved []Reservation, loaded map[string]T) (int, error) {
	var items []Item[T]
	for _, r := range reserved {
		if v, ok := loaded[r.ID()]; ok {
			items = append(items, Item[T]{Reservation: r, Value: v})
		} else {
			t.cache.release(ctx, r.key, r.stamp)
		}
	}
	stored, err := t.SetMany(ctx, items)
	n := 0
	for _, ok := range stored {
		if ok {
			n++
		}
	}
	return n, err
}

// lookMany asks Redis for several keys and counts a lookup for each.
func (t Typed[T]) lookMany(ctx context.Context, keys []families.Key) (found map[string]T, usable bool) {
	c := t.cache
	found = make(map[string]T, len(keys))
	start := time.Now()
	result, reason := Miss, reasonUnknown
	var raws [][]byte
	switch {
	case requestFrom(ctx).Bypasses():
		result, reason = Bypass, reasonRequested
	case c.redis == nil:
		result, reason = Bypass, reasonNoCache
	default:
		spanned, end := c.span(ctx, "MGET", t.family)
		err := c.step(spanned, func(ctx context.Context) (err error) {
			raws, err = c.redis.getMany(ctx, keys)
			return err
		})
		end(err)
		if err != nil {
			result, reason = Error, failureReason(err)
		}
	}
	for i, key := range keys {
		result, reason := result, reason
		if raws != nil && raws[i] != nil && !isLease(raws[i]) && !c.drops.has(key) {
			if v, err := t.open(key, raws[i]); err == nil {
				found[key.ID()] = v
				result, reason = Hit, reasonNone
			} else if !errors.Is(err, errExpired) {
				c.discard(ctx, key)
				reason = reasonDamaged
			}
		}
		c.metrics.lookup(t.family, result, reason)
		requestFrom(ctx).add(Lookup{t.family, result})
		c.observer.Lookup(ctx, key, result)
	}
	c.metrics.operation(t.family, opBatchGet, result, time.Since(start), ctx)
	return found, raws != nil
}

func (t Typed[T]) loadMany(ctx context.Context, keys []families.Key,
	load func(context.Context, []string) (map[string]T, error)) (map[string]T, error) {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID()
	}
	return timedLoad(ctx, t.cache, t.family, func(ctx context.Context) (map[string]T, error) { return load(ctx, ids) })
}

func (t Typed[T]) keys(ids []string) ([]families.Key, error) {
	keys := make([]families.Key, len(ids))
	for i, id := range ids {
		k, err := t.family.Key(id)
		if err != nil {
			return nil, err
		}
		keys[i] = k
	}
	return keys, nil
}

func without[T any](keys []families.Key, found map[string]T) []families.Key {
	var missing []families.Key
	for _, k := range keys {
		if _, ok := found[k.ID()]; !ok {
			missing = append(missing, k)
		}
	}
	return missing
}
