package outbox

import (
	"context"
	"fmt"
	"slices"

	"github.com/oglab/ogcache/internal/families"
)

// replayLimit bounds the ids that a catch-up reads, of pending and of delivered
// changes each. More than that, and clearing whole families is cheaper.
const replayLimit = 100_000

// CatchUp drops what the Redis servers may hold of old values. It returns nil
// once hits can be trusted; before, none may be served. It is due whenever the
// connection to a server was lost or new, once drops reach these servers and no
// others. servers are the identities of all that hold keys, which change when a
// server restarts or another takes its place; "" is one that cannot be told. ctx
// alone bounds it.
//
// Pending changes are dropped always, those too that somebody is delivering:
// that drop may hang, or go to a server that is gone, and one more does no harm.
// So it takes no lock and waits for none.
//
// A server that is not known may have lost drops: it restarted from a snapshot,
// or took over before they reached it. What was delivered within the longest
// lifetime is then dropped again. That is enough: an old value was stored before
// its entry was marked done, so what was marked earlier has expired by itself.
// An entry that is marked meanwhile is seen as the one or as the other, because
// pending ones are read first. Where not all such changes can be told, every
// family that changes can outdate is cleared.
//
// That others have caught up with these servers spares a process the replay,
// but not one that had other servers before: what it delivered last may have
// reached only those.
func (w *Worker) CatchUp(ctx context.Context, servers []string, drop func(context.Context, []families.Key) error) error {
	if err := w.catchUp(ctx, servers, drop); err != nil {
		return fmt.Errorf("catching up with the outbox: %w", err)
	}
	return nil
}

func (w *Worker) catchUp(ctx context.Context, servers []string, drop func(context.Context, []families.Key) error) error {
	servers = slices.Compact(slices.Sorted(slices.Values(servers)))
	trusted, err := w.trusted(ctx, servers)
	if err != nil {
		return err
	}
	pending, more, err := w.source.PendingChanges(ctx, replayLimit)
	if err != nil {
		return err
	}
	complete := !more
	if complete {
		err = w.replay(ctx, pending, drop)
	}
	if err == nil && complete && !trusted {
		var delivered []families.Change
		delivered, complete, err = w.source.DeliveredChanges(ctx, w.lifetime, replayLimit)
		if err == nil && complete {
			err = w.replay(ctx, delivered, drop)
		}
	}
	if err == nil && !complete {
		w.logger.InfoContext(ctx, "the outbox cannot tell all that changed, the cache is cleared")
		err = w.clear(ctx, families.Changeable())
	}
	if err == nil {
		err = w.settle(ctx, pending)
	}
	if err != nil {
		return err
	}
	return w.trust(ctx, servers)
}

// settle marks what was pending and has been dropped, so that the worker does
// not drop again what readers and a warm-up store from now on. Not so for
// sessions: the auth service may not have ended one whose logout is recorded.
func (w *Worker) settle(ctx context.Context, pending []families.Change) error {
	pending = slices.DeleteFunc(pending, func(c families.Change) bool { return c.Entity == families.Session })
	for batch := range slices.Chunk(pending, reportBatch) {
		if _, err := w.source.MarkDelivered(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) replay(ctx context.Context, changes []families.Change, drop func(context.Context, []families.Key) error) error {
	if err := w.apply(ctx, changes, drop); err != nil {
		return err
	}
	w.metrics.byReplay.Add(float64(len(changes)))
	return nil
}

// trusted reports whether the servers have seen every delivered change.
func (w *Worker) trusted(ctx context.Context, servers []string) (bool, error) {
	w.mu.Lock()
	moved := w.caughtUp != nil && !slices.Equal(w.caughtUp, servers)
	w.mu.Unlock()
	if moved {
		return false, nil
	}
	return w.source.TrustedServers(ctx, servers)
}

func (w *Worker) trust(ctx context.Context, servers []string) error {
	known := slices.DeleteFunc(slices.Clone(servers), func(id string) bool { return id == "" })
	if len(known) > 0 {
		if err := w.source.TrustServers(ctx, known); err != nil {
			return err
		}
	}
	w.mu.Lock()
	w.caughtUp = servers
	w.mu.Unlock()
	return nil
}
