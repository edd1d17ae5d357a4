package instrumented

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

const (
	// revalidateFor is how long past its lifetime a value is served at once
	// while it is refreshed. Past that, nobody has asked for it for a while, and
	// the caller waits up to the soft timeout for a new one.
	revalidateFor = 30 * time.Second
	// earliness is XFetch's β: above 1 refreshes come earlier.
	earliness = 1.0
	// tooEarly is how many load times before its expiry a value is not worth
	// a draw: the probability is below e^-16.
	tooEarly = 16
	// retryAfter is the pause after a refresh that failed.
	retryAfter = time.Second
)

// early decides whether a value that expires in left, and took loadTime to
// load, is refreshed now: with probability e^(-left/(β·loadTime)). It is XFetch
// of Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache
// Stampede Prevention" (VLDB 2015).
func early(left, loadTime time.Duration, draw func() float64) bool {
	if loadTime <= 0 || left > tooEarly*loadTime {
		return false
	}
	return draw() < math.Exp(-float64(left)/(earliness*float64(loadTime)))
}

// chore is what a hit gives occasion to.
type chore uint8

const (
	nothingToDo chore = iota
	refreshIt
	checkIt
)

// chore decides, cheaply, whether a value that was just served is to be
// refreshed or compared with the origin.
func (c *Cache) chore(e envelope, now time.Time) chore {
	switch {
	case e.loadTime > 0 && early(e.expires.Sub(now), e.loadTime, rand.Float64):
		return refreshIt
	case c.freshness.sampled():
		return checkIt
	}
	return nothingToDo
}

// tend does, in the background, what a hit gives occasion to.
func (t Typed[T]) tend(ctx context.Context, id string, e envelope, now time.Time, loader func(context.Context) (T, error)) {
	todo := t.cache.chore(e, now)
	if todo == nothingToDo {
		return
	}
	key, err := t.view.family.Key(id)
	if err != nil {
		return // an id that was found is valid
	}
	if todo == refreshIt {
		t.refresh(ctx, key, e, loader)
	} else {
		t.check(ctx, key, e, loader)
	}
}

// refresh loads a value anew in the background and stores it over the very one
// that it is to replace. A key is refreshed once at a time.
func (t Typed[T]) refresh(ctx context.Context, key families.Key, old envelope, loader func(context.Context) (T, error)) {
	c := t.cache
	if !c.refreshing.start(key) {
		return
	}
	c.later(ctx, func(ctx context.Context) {
		start := time.Now()
		v, err := t.load(ctx, loader)
		if err != nil {
			t.view.refreshed(loadOutcome(err))
			c.refreshing.pause(key, retryAfter)
			return
		}
		t.view.refreshed(t.store(ctx, key, old.stamp, v, time.Since(start)))
		c.refreshing.end(key)
	})
}

func loadOutcome(err error) string {
	if errors.Is(err, ErrOverloaded) {
		return loadSkipped
	}
	return loadFailed
}

// inProgress is a set of keys that something is being done for.
type inProgress struct {
	mu   sync.Mutex
	keys map[families.Key]bool
}

func (p *inProgress) start(key families.Key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys[key] {
		return false
	}
	if p.keys == nil {
		p.keys = make(map[families.Key]bool)
	}
	p.keys[key] = true
	return true
}

func (p *inProgress) end(key families.Key) {
	p.mu.Lock()
	delete(p.keys, key)
	p.mu.Unlock()
}

// pause ends what was in progress but lets it begin again only after d.
func (p *inProgress) pause(key families.Key, d time.Duration) {
	time.AfterFunc(d, func() { p.end(key) })
}
