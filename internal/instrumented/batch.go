package instrumented

import (
	"context"
	"sync"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// Batch looks up keys of several families at once: one round trip for what is
// cached, one for the leases of what is not, one load for all that is missing
// of a family, and one round trip to store it. Use it once.
type Batch struct {
	cache *Cache
	parts []batchPart
}

// NewBatch returns an empty batch.
func (c *Cache) NewBatch() *Batch { return &Batch{cache: c} }

// batchPart is what a batch asks of one family.
type batchPart interface {
	of() *view
	wanted() []families.Key
	ask()
	take(ctx context.Context, raws [][]byte, by time.Time, now time.Time)
	give(o outcome) // the same for all keys
	toLease() []families.Key
	leased([]Reservation)
	load(ctx context.Context) []entry
	settle(ctx context.Context, took time.Duration)
}

// Do carries the batch out. What failed, failed for its family alone: see
// Values.Err.
func (b *Batch) Do(ctx context.Context) {
	start := time.Now()
	usable := b.look(ctx, start)
	took := time.Since(start)
	if usable {
		b.lease(ctx)
	}
	entries := make([][]entry, len(b.parts))
	var loads sync.WaitGroup
	for i, p := range b.parts {
		loads.Go(func() { entries[i] = p.load(ctx) })
	}
	loads.Wait()
	b.cache.fillMany(ctx, flatten(entries))
	for _, p := range b.parts {
		p.settle(ctx, took)
	}
}

func flatten(groups [][]entry) (all []entry) {
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

// look reads all keys. It reports whether Redis answered.
func (b *Batch) look(ctx context.Context, now time.Time) bool {
	c := b.cache
	var asked []batchPart
	var keys []families.Key
	for _, p := range b.parts {
		if o, around := c.around(requestFrom(ctx), p.of()); around {
			p.give(o)
			continue
		}
		p.ask()
		asked = append(asked, p)
		keys = append(keys, p.wanted()...)
	}
	if len(keys) == 0 {
		return false
	}
	all := func(o outcome) bool {
		for _, p := range asked {
			p.give(o)
		}
		return false
	}
	trusted, ok := c.trust.begin()
	if !ok {
		return all(errorUntrusted)
	}
	var raws [][]byte
	var by time.Time
	spanned, end := c.span(ctx, asked[0].of(), spanMGET)
	err := c.step(spanned, func(ctx context.Context) (err error) {
		by, _ = ctx.Deadline()
		raws, err = c.redis.getMany(ctx, keys)
		return err
	})
	end(err)
	switch {
	case err != nil:
		return all(failureOf(err))
	case !c.trust.still(trusted):
		return all(errorUntrusted)
	}
	for _, p := range asked {
		n := len(p.wanted())
		p.take(ctx, raws[:n:n], by, now)
		raws = raws[n:]
	}
	return true
}

// lease reserves what is missing.
func (b *Batch) lease(ctx context.Context) {
	var keys []families.Key
	for _, p := range b.parts {
		keys = append(keys, p.toLease()...)
	}
	reserved, err := b.cache.reserve(ctx, keys)
	if err != nil {
		return // without leases nothing is stored
	}
	for _, p := range b.parts {
		p.leased(reserved)
	}
}

// Values are what a batch found or loaded of one family. They are there once
// the batch is done.
type Values[T any] struct {
	typed  Typed[T]
	keys   []families.Key
	loader func(ctx context.Context, missing []string) (map[string]T, error)

	found    map[string]T
	outcomes []outcome
	pending  map[families.Key]bool // invalidations that Redis had not confirmed before the read
	expired  map[string]T
	over     map[families.Key]stamp // what a loaded value may be stored over
	err      error
}

// Ask adds ids to a batch. loader returns the values that exist of those that
// are not cached, by id; nil loads none. An invalid id is an error.
func (t Typed[T]) Ask(b *Batch, ids []string,
	loader func(ctx context.Context, missing []string) (map[string]T, error)) (*Values[T], error) {
	keys, err := t.keys(ids)
	if err != nil {
		return nil, err
	}
	v := &Values[T]{
		typed: t, keys: keys, loader: loader, found: make(map[string]T, len(keys)),
		outcomes: make([]outcome, len(keys)), over: make(map[families.Key]stamp),
	}
	b.parts = append(b.parts, v)
	return v, nil
}

// Found returns the values by id. Ids that nobody has are absent.
func (v *Values[T]) Found() map[string]T { return v.found }

// Err returns why what was missing could not be loaded.
func (v *Values[T]) Err() error { return v.err }

func (v *Values[T]) of() *view              { return v.typed.view }
func (v *Values[T]) wanted() []families.Key { return v.keys }

func (v *Values[T]) give(o outcome) {
	for i := range v.outcomes {
		v.outcomes[i] = o
	}
}

// ask notes which keys must not be read. Asked after the read, a drop that was
// confirmed meanwhile would not be known any more.
func (v *Values[T]) ask() {
	for _, key := range v.keys {
		if v.typed.cache.drops.has(key) {
			if v.pending == nil {
				v.pending = make(map[families.Key]bool)
			}
			v.pending[key] = true
		}
	}
}

func (v *Values[T]) take(ctx context.Context, raws [][]byte, by time.Time, now time.Time) {
	for i, key := range v.keys {
		if v.pending[key] {
			v.outcomes[i] = errorPending
			continue
		}
		a, o := v.typed.read(ctx, key, digest(key), raws[i], by, now)
		v.outcomes[i] = o
		switch {
		case a.found && !a.envelope.absent():
			v.found[key.ID()] = a.value
		case a.expired:
			v.over[key] = a.envelope.stamp
			if v.typed.view.staleFor > 0 && !a.envelope.absent() {
				if v.expired == nil {
					v.expired = make(map[string]T)
				}
				v.expired[key.ID()] = a.value
			}
		}
	}
}

// missing returns the keys that were not answered from the cache.
func (v *Values[T]) missing() (keys []families.Key) {
	for i, o := range v.outcomes {
		if !o.served() {
			keys = append(keys, v.keys[i])
		}
	}
	return keys
}

func (v *Values[T]) toLease() (keys []families.Key) {
	if v.loader == nil {
		return nil
	}
	for i, o := range v.outcomes {
		if _, expired := v.over[v.keys[i]]; o.result() == Miss && !expired {
			keys = append(keys, v.keys[i])
		}
	}
	return keys
}

func (v *Values[T]) leased(reserved []Reservation) {
	for _, r := range reserved {
		if r.key.Family() == v.typed.view.family {
			v.over[r.key] = r.stamp
		}
	}
}

func (v *Values[T]) load(ctx context.Context) (entries []entry) {
	missing := v.missing()
	if v.loader == nil || len(missing) == 0 {
		return nil
	}
	start := time.Now()
	values, err := v.typed.loadMany(ctx, missing, v.loader)
	if err != nil {
		v.failed(ctx, err)
		return nil
	}
	took := time.Since(start)
	for _, key := range missing {
		value, ok := values[key.ID()]
		l := loaded[T]{value: value}
		if ok {
			v.found[key.ID()] = value
		} else if l.none = v.typed.absent; l.none == nil {
			v.release(ctx, key)
			continue
		}
		over, ok := v.over[key]
		if !ok {
			continue
		}
		e, err := v.typed.seal(key, over, l, 0, took)
		if err != nil {
			v.typed.view.filled(whyNotSealed(err))
			v.release(ctx, key)
			continue
		}
		entries = append(entries, e)
	}
	return entries
}

// failed serves what has expired in place of what could not be loaded.
func (v *Values[T]) failed(ctx context.Context, err error) {
	for i, key := range v.keys {
		if v.outcomes[i].served() {
			continue
		}
		if value, ok := v.expired[key.ID()]; ok {
			v.found[key.ID()] = value
			v.outcomes[i] = staleOriginFailed
			continue
		}
		v.err = err
		v.release(ctx, key)
	}
}

func (v *Values[T]) release(ctx context.Context, key families.Key) {
	if s, ok := v.over[key]; ok && s[1] == kindLease {
		v.typed.cache.release(ctx, v.typed.view, key, s)
	}
}

// settle counts a lookup for each key.
func (v *Values[T]) settle(ctx context.Context, took time.Duration) {
	c, view := v.typed.cache, v.typed.view
	var lookups []Lookup
	for i, o := range v.outcomes {
		view.lookups[o].Inc()
		lookups = append(lookups, Lookup{view.family, o.result()})
		if c.observer != nil {
			c.observer.Lookup(ctx, v.keys[i], o.result())
		}
	}
	requestFrom(ctx).add(lookups...)
	if worst, ok := Worst(lookups); ok {
		view.operation(ctx, opBatchGet, worst, took)
	}
}

// GetMany returns the cached values of several ids in one round trip, keyed by
// id. Ids without a value, or all when Redis does not answer, are absent.
func (t Typed[T]) GetMany(ctx context.Context, ids []string) (map[string]T, error) {
	return t.FetchMany(ctx, ids, nil)
}

// FetchMany is Fetch for several ids: one round trip for what is cached, one
// lease round trip, one load and one store for what is missing. loader returns
// the values that exist, keyed by id. Ids that nobody has are absent.
func (t Typed[T]) FetchMany(ctx context.Context, ids []string,
	loader func(ctx context.Context, missing []string) (map[string]T, error)) (map[string]T, error) {
	b := t.cache.NewBatch()
	values, err := t.Ask(b, ids, loader)
	if err != nil {
		return nil, err
	}
	b.Do(ctx)
	if values.err != nil {
		return nil, values.err
	}
	return values.found, nil
}

func (t Typed[T]) loadMany(ctx context.Context, keys []families.Key,
	loader func(context.Context, []string) (map[string]T, error)) (map[string]T, error) {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID()
	}
	return load(ctx, t.cache, t.view, func(ctx context.Context) (map[string]T, error) { return loader(ctx, ids) })
}

// keys returns the keys of the ids, each once.
func (t Typed[T]) keys(ids []string) ([]families.Key, error) {
	keys := make([]families.Key, 0, len(ids))
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		k, err := t.view.family.Key(id)
		if err != nil {
			return nil, err
		}
		if !seen[id] {
			seen[id] = true
			keys = append(keys, k)
		}
	}
	return keys, nil
}
