package instrumented

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// Ledger is where invalidations are recorded, beyond the life of this process
// and of Redis.
type Ledger interface {
	// CatchUp drops every key whose invalidation may not be in effect: those not
	// yet carried out, and all of the past lifetime of an entry where one of the
	// servers may have come back with old data. A server is named by an identity
	// that a restart or a change of master changes, "" where it tells none.
	CatchUp(ctx context.Context, servers []string, drop func(context.Context, []families.Key) error) error
}

// trust says whether hits may be served. Every connection to a server tells
// the server's identity before it carries its first command; an identity that
// is not known to be caught up with ends the trust, before anything could be
// read over that connection.
type trust struct {
	ledger Ledger // nil: hits are always trusted

	epoch atomic.Uint64 // odd while hits are not trusted

	mu       sync.Mutex
	caughtUp map[string]bool // identities that the last catch-up was for
	awaiting map[string]bool // identities met since then
	wake     chan struct{}
}

func newTrust(l Ledger) *trust {
	t := &trust{ledger: l, awaiting: make(map[string]bool), wake: make(chan struct{}, 1)}
	if l != nil {
		t.epoch.Store(1)
	}
	return t
}

func (t *trust) trusted() bool { return t.epoch.Load()%2 == 0 }

// begin returns what still is to be asked about, and false when hits are not
// trusted.
func (t *trust) begin() (epoch uint64, ok bool) {
	epoch = t.epoch.Load()
	return epoch, epoch%2 == 0
}

// still reports whether hits have been trusted all the time since begin.
func (t *trust) still(epoch uint64) bool { return t.epoch.Load() == epoch }

// met tells that a connection to a master was made.
func (t *trust) met(identity string) {
	if t.ledger == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.caughtUp[identity] || t.awaiting[identity] {
		return
	}
	t.awaiting[identity] = true
	t.suspend()
}

// doubt ends the trust after an outage: invalidations of other processes may
// not have reached Redis, and a server that tells no identity may have been
// restarted.
func (t *trust) doubt() {
	if t.ledger == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.suspend()
}

// suspend ends the trust; a catch-up that is under way does not restore it.
func (t *trust) suspend() {
	if t.trusted() {
		t.epoch.Add(1)
	} else {
		t.epoch.Add(2)
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// catchUp restores the trust in these masters, unless it was lost again
// meanwhile.
func (t *trust) catchUp(ctx context.Context, masters func() []string, drop func(context.Context, []families.Key) error) error {
	t.mu.Lock()
	epoch := t.epoch.Load()
	t.mu.Unlock()
	servers := masters()
	if err := t.ledger.CatchUp(ctx, servers, drop); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.epoch.Load() != epoch {
		return nil
	}
	t.caughtUp = make(map[string]bool)
	for _, s := range servers {
		t.caughtUp[s] = true
	}
	clear(t.awaiting)
	t.epoch.Add(1)
	return nil
}

// Trusted reports whether hits are served: whether invalidations have been
// caught up with. It does no I/O.
func (c *Cache) Trusted() bool { return c.trust.trusted() }

// catchUpRetry is the pause after a catch-up that failed.
const catchUpRetry = 200 * time.Millisecond

// keepTrust catches up whenever that is needed, until ctx ends.
func (c *Cache) keepTrust(ctx context.Context) {
	for {
		for told := false; !c.trust.trusted() && ctx.Err() == nil; {
			start := time.Now()
			err := c.far.reach(ctx)
			if err == nil {
				err = c.trust.catchUp(ctx, c.far.masters, c.DropNow)
			}
			if err == nil {
				c.metrics.catchUps.Inc()
				c.logger.Info("invalidations are caught up with, hits are trusted", "took", time.Since(start))
				continue
			}
			if !told && ctx.Err() == nil {
				told = true
				c.logger.Warn("hits are not trusted yet: invalidations cannot be caught up with", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(catchUpRetry):
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-c.trust.wake:
		}
	}
}
