package instrumented

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

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
	if t.view.off.Load() {
		return nil, nil
	}
	return t.cache.reserve(ctx, keys)
}

func (c *Cache) reserve(ctx context.Context, keys []families.Key) ([]Reservation, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	stamps := make([]stamp, len(keys))
	for i := range stamps {
		stamps[i] = newStamp(kindLease)
	}
	var olds [][]byte
	ctx, end := c.span(ctx, c.view(keys[0].Family()), spanSET)
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
		if old == nil || bytes.Equal(old, stamps[i][:]) {
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

// ErrInvalidTTL is wrapped by the error for a lifetime that an entry cannot
// have.
var ErrInvalidTTL = errors.New("invalid lifetime")

// Set stores one value under its reservation. It reports false when the key
// was invalidated or cleared since it was reserved. A negative TTL is an error
// wrapping ErrInvalidTTL; one beyond the family's is cut to it.
func (t Typed[T]) Set(ctx context.Context, item Item[T]) (bool, error) {
	stored, err := t.SetMany(ctx, []Item[T]{item})
	return len(stored) == 1 && stored[0], err
}

// SetMany is Set for several items in one round trip; it reports which were
// stored, in their order. The error joins those of the items that failed, which
// do not fail the others.
func (t Typed[T]) SetMany(ctx context.Context, items []Item[T]) ([]bool, error) {
	if len(items) == 0 {
		return nil, nil
	}
	var entries []entry
	var places []int
	var errs []error
	for i, item := range items {
		if item.TTL < 0 {
			errs = append(errs, fmt.Errorf("%s: %w: %v is negative", t.view.family, ErrInvalidTTL, item.TTL))
			continue
		}
		e, err := t.seal(item.Reservation.key, item.Reservation.stamp, loaded[T]{value: item.Value}, item.TTL, 0)
		if err != nil {
			t.view.filled(whyNotSealed(err))
			errs = append(errs, err)
			continue
		}
		entries, places = append(entries, e), append(places, i)
	}
	done := make([]bool, len(items))
	for i, outcome := range t.cache.fillMany(ctx, entries) {
		done[places[i]] = outcome == fillStored
		if outcome == fillFailed {
			errs = append(errs, fmt.Errorf("%s: Redis did not store a value", t.view.family))
		}
	}
	return done, errors.Join(errs...)
}

// Warm loads and stores those of the ids that are not cached, and returns how
// many it stored. It counts no lookups: nobody asked for these keys.
func (t Typed[T]) Warm(ctx context.Context, ids []string,
	loader func(ctx context.Context, missing []string) (map[string]T, error)) (stored int, err error) {
	ctx = t.cache.unhurried(ctx)
	reserved, err := t.Reserve(ctx, ids)
	if err != nil || len(reserved) == 0 {
		return 0, err
	}
	keys := make([]families.Key, len(reserved))
	for i, r := range reserved {
		keys[i] = r.key
	}
	values, err := t.loadMany(ctx, keys, loader)
	var items []Item[T]
	for _, r := range reserved {
		if v, ok := values[r.ID()]; ok && err == nil {
			items = append(items, Item[T]{Reservation: r, Value: v})
		} else {
			t.cache.release(ctx, t.view, r.key, r.stamp)
		}
	}
	if err != nil {
		return 0, err
	}
	done, err := t.SetMany(ctx, items)
	for _, ok := range done {
		if ok {
			stored++
		}
	}
	return stored, err
}
