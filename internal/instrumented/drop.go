package instrumented

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// maxDrops bounds the invalidations that wait for a Redis that is away.
const maxDrops = 100_000

// Delete drops keys. When it returns nil, Redis has dropped them, and nobody
// who asks from then on is given what was read or loaded before. When Redis
// does not answer within the request's budget the drop is tried again in the
// background, and before hits are trusted again after an outage; the error then
// says why it is late.
func (c *Cache) Delete(ctx context.Context, keys ...families.Key) error {
	if c.redis == nil || len(keys) == 0 {
		return nil
	}
	start := time.Now()
	c.forgetLoads(keys)
	spanned, end := c.span(ctx, c.view(keys[0].Family()), spanDEL)
	err := c.step(spanned, func(ctx context.Context) error { return c.redis.drop(ctx, keys) })
	end(err)
	result := resultOK
	if err != nil {
		result = Error
		if lost := c.drops.add(keys); lost > 0 {
			c.metrics.dropsLost.Add(float64(lost))
			c.logger.Error("too many invalidations wait for Redis; entries may be old until they expire", "lost", lost)
		}
	}
	c.forgetValues(ctx, keys, err == nil)
	for _, k := range keys {
		c.view(k.Family()).operation(spanned, opDelete, result, time.Since(start))
	}
	return err
}

// DropNow drops keys on a clock of its own, whatever the breaker says. It is
// for invalidations that are recorded elsewhere and repeated until it returns
// nil.
func (c *Cache) DropNow(ctx context.Context, keys []families.Key) error {
	if c.redis == nil || len(keys) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c.forgetLoads(keys)
	err := c.redis.drop(ctx, keys)
	c.forgetValues(ctx, keys, err == nil)
	return err
}

// forgetLoads makes later callers start loads of their own. The change is in
// the origin, so loads that begin from here on see it.
func (c *Cache) forgetLoads(keys []families.Key) {
	for _, k := range keys {
		c.flights.forget(k.String())
	}
}

// forgetValues removes the keys from the near caches, where a reply that is
// still under way must not put an old value back, and remembers the drop.
func (c *Cache) forgetValues(ctx context.Context, keys []families.Key, done bool) {
	for _, k := range keys {
		c.view(k.Family()).near.forget(k.ID())
		if !done {
			continue
		}
		c.history.note(digest(k), dropped, time.Time{})
		if c.observer != nil {
			c.observer.Dropped(ctx, k)
		}
	}
}

// drops are the keys whose invalidation Redis has not confirmed.
type drops struct {
	mu      sync.Mutex
	pending map[families.Key]uint64 // the number of the newest failed drop
	last    uint64
	waiting atomic.Int64 // len(pending), so that readers need no lock
}

// add remembers keys and returns how many could not be.
func (d *drops) add(keys []families.Key) (lost int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pending == nil {
		d.pending = make(map[families.Key]uint64)
	}
	for _, k := range keys {
		if _, known := d.pending[k]; !known && len(d.pending) >= maxDrops {
			lost++
			continue
		}
		d.last++
		d.pending[k] = d.last
	}
	d.waiting.Store(int64(len(d.pending)))
	return lost
}

// has reports whether the key's invalidation is pending: what Redis holds for
// it must not be served.
func (d *drops) has(key families.Key) bool {
	if d.waiting.Load() == 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.pending[key]
	return ok
}

// flush drops what is pending, in batches.
func (d *drops) flush(ctx context.Context, drop func(context.Context, []families.Key) error) error {
	for {
		batch := d.some(500)
		if len(batch) == 0 {
			return nil
		}
		keys := slices.Collect(maps.Keys(batch))
		if err := drop(ctx, keys); err != nil {
			return err
		}
		d.done(batch)
	}
}

func (d *drops) some(n int) map[families.Key]uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	batch := make(map[families.Key]uint64, min(n, len(d.pending)))
	for k, number := range d.pending {
		if len(batch) == n {
			break
		}
		batch[k] = number
	}
	return batch
}

// done forgets what was dropped, but for keys whose drop failed once more
// meanwhile: that write may be younger than the drop that succeeded.
func (d *drops) done(batch map[families.Key]uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, number := range batch {
		if d.pending[k] == number {
			delete(d.pending, k)
		}
	}
	d.waiting.Store(int64(len(d.pending)))
}

// run tries pending drops again until ctx ends.
func (d *drops) run(ctx context.Context, drop func(context.Context, []families.Key) error) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = d.flush(ctx, drop) // what fails stays pending and is tried again
		}
	}
}
