package instrumented

import (
	"context"
	"sync"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// get reads one key, and returns the deadline of the exchange too, by which
// its connection can be found.
func (c *Cache) get(l *lookup) (raw []byte, by time.Time, err error) {
	if c.gather != nil {
		return c.gather.get(l.ctx, l.key)
	}
	err = c.step(l.ctx, func(ctx context.Context) (err error) {
		by, _ = ctx.Deadline()
		raw, err = c.redis.get(ctx, l.key)
		return err
	})
	return raw, by, err
}

const (
	// gatherers is how many gathered reads may be under way at once.
	gatherers = 2
	// gatherMost bounds the keys of one of them.
	gatherMost = 128
)

// gather sends reads that wait as one command, equal keys once. Nobody joins a
// read that was already sent. Each caller waits on its own context and budget;
// reads repeat nothing, so one that fails fails all that were in it.
type gather struct {
	cache *Cache

	mu      sync.Mutex
	waiting []*ask
	senders int
}

// ask is one caller's question.
type ask struct {
	key  families.Key
	raw  []byte
	by   time.Time
	err  error
	done chan struct{}
}

func newGather(c *Cache) *gather { return &gather{cache: c} }

// get reads the key at once, on the caller's own context, where no other read
// is under way.
func (g *gather) get(ctx context.Context, key families.Key) ([]byte, time.Time, error) {
	a := &ask{key: key}
	if g.alone(a) {
		err := g.cache.step(ctx, func(ctx context.Context) (err error) {
			a.by, _ = ctx.Deadline()
			a.raw, err = g.cache.redis.get(ctx, key)
			return err
		})
		g.mu.Lock()
		if len(g.waiting) > 0 {
			go g.send()
		} else {
			g.senders--
		}
		g.mu.Unlock()
		return a.raw, a.by, err
	}
	return g.wait(ctx, a)
}

// alone reports whether the caller may ask for itself. Otherwise its question
// is sent with others.
func (g *gather) alone(a *ask) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.senders == 0 {
		g.senders++
		return true
	}
	a.done = make(chan struct{})
	g.waiting = append(g.waiting, a)
	if g.senders < gatherers {
		g.senders++
		go g.send()
	}
	return false
}

// wait waits for a question that was sent with others, on the caller's own
// context and budget.
func (g *gather) wait(ctx context.Context, a *ask) ([]byte, time.Time, error) {
	c := g.cache
	if !c.breaker.TryAcquirePermit() {
		return nil, time.Time{}, errOpen
	}
	r := requestFrom(ctx)
	left := r.begin(c.Budget())
	defer r.end()
	if left <= 0 {
		return nil, time.Time{}, errBudget
	}
	late := time.NewTimer(left)
	defer late.Stop()
	select {
	case <-a.done:
		return a.raw, a.by, a.err
	case <-ctx.Done():
		return nil, time.Time{}, ctx.Err()
	case <-late.C:
		c.judge(ctx, errBudget)
		return nil, time.Time{}, errBudget
	}
}

// send asks for what waits until nothing does.
func (g *gather) send() {
	for {
		g.mu.Lock()
		n := min(len(g.waiting), gatherMost)
		if n == 0 {
			g.senders--
			g.mu.Unlock()
			return
		}
		asks := g.waiting[:n:n]
		if g.waiting = g.waiting[n:]; len(g.waiting) == 0 {
			g.waiting = nil
		}
		g.mu.Unlock()
		g.ask(asks)
	}
}

func (g *gather) ask(asks []*ask) {
	ctx, cancel := context.WithTimeout(context.Background(), g.cache.Budget())
	defer cancel()
	by, _ := ctx.Deadline()
	if len(asks) == 1 {
		a := asks[0]
		a.raw, a.err = g.cache.redis.get(ctx, a.key)
		a.by = by
		g.cache.judge(context.Background(), a.err)
		close(a.done)
		return
	}
	keys := make([]families.Key, 0, len(asks))
	place := make(map[families.Key]int, len(asks))
	for _, a := range asks {
		if _, known := place[a.key]; !known {
			place[a.key] = len(keys)
			keys = append(keys, a.key)
		}
	}
	raws, err := g.cache.redis.getMany(ctx, keys)
	g.cache.judge(context.Background(), err) // one exchange, however many wait for it
	for _, a := range asks {
		a.by, a.err = by, err
		if err == nil {
			a.raw = raws[place[a.key]]
		}
		close(a.done)
	}
}
