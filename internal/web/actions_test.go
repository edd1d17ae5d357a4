package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/keyspace"
)

// fakeKeys are keys of Redis whose counting and clearing a test controls.
type fakeKeys struct {
	count    int64
	err      error
	gate     chan struct{} // Clear waits for it; nil: not at all
	scans    int
	cleared  []keyspace.Selection
	snapshot keyspace.Snapshot
}

func (k *fakeKeys) Count(context.Context, keyspace.Selection) (int64, error) { return k.count, k.err }

func (k *fakeKeys) Clear(ctx context.Context, s keyspace.Selection, progress func(int64)) (int64, error) {
	k.cleared = append(k.cleared, s)
	progress(k.count / 2)
	if k.gate != nil {
		select {
		case <-k.gate:
		case <-ctx.Done():
			return k.count / 2, ctx.Err()
		}
	}
	return k.count, k.err
}

func (k *fakeKeys) Latest() (keyspace.Snapshot, bool) {
	return k.snapshot, !k.snapshot.TakenAt.IsZero()
}

func (k *fakeKeys) Scan(context.Context) (keyspace.Snapshot, error) {
	k.scans++
	return k.snapshot, nil
}

func (k *fakeKeys) Server(context.Context) (keyspace.Server, error) {
	return keyspace.Server{Memory: "1.2M"}, k.err
}

// warmsUp is an application whose warm-up does as the function says.
type warmsUp func(ctx context.Context, progress func(done, total int)) (agent.WarmupResult, error)

func (w warmsUp) Warmup(ctx context.Context, _ agent.WarmupScope, progress func(done, total int)) (agent.WarmupResult, error) {
	return w(ctx, progress)
}

var discard = slog.New(slog.DiscardHandler)

func TestOneActionAtATimeWithProgressAndOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &fakeKeys{count: 1204, gate: make(chan struct{})}
		a := newActions(warmsUp(nil), keys, discard)
		request, gone := context.WithCancel(t.Context())
		if err := a.start(request, "Clear everything", a.clearing(keyspace.Everything())); err != nil {
			t.Fatal(err)
		}
		gone() // the request's end does not end the action
		synctest.Wait()
		if s := a.current(); !s.Running || s.Done != 602 || s.Total != 1204 {
			t.Fatalf("half way it says %+v", s)
		}
		var busy busyError
		if err := a.start(t.Context(), "Warm up menu", nil); !errors.As(err, &busy) || !strings.Contains(err.Error(), "Clear everything") {
			t.Errorf("the second start: %v", err)
		}
		time.Sleep(300 * time.Millisecond) // of the bubble's clock
		close(keys.gate)
		synctest.Wait()
		s := a.current()
		if s.Running || s.Failed || plain(s.Outcome) != "removed 1,204 keys in 300 ms." {
			t.Errorf("at the end it says %+v", s)
		}
		if keys.scans != 1 {
			t.Errorf("the keys were counted anew %d times", keys.scans)
		}
	})
}

func plain(s string) string { return strings.ReplaceAll(s, "\u00a0", " ") }

func TestActionOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		result agent.WarmupResult
		err    error
		failed bool
		says   string
		not    string
	}{
		"done":        {agent.WarmupResult{Loaded: 1204, Present: 1}, nil, false, "loaded 1,204 entries in 0 ms; 1 was cached already.", ""},
		"no cache":    {err: agent.ErrCacheUnavailable, failed: true, says: "failed: Redis is not available. Reads are served from the database. Until then: 3 of 9."},
		"unreachable": {err: &net.OpError{Op: "dial", Err: errors.New("refused")}, failed: true, says: "could not be reached"},
		"unknown":     {err: errors.New("profile user_secret: broken"), failed: true, says: "log says why", not: "user_secret"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newActions(warmsUp(func(_ context.Context, progress func(int, int)) (agent.WarmupResult, error) {
					progress(3, 9)
					return c.result, c.err
				}), nil, discard)
				if err := a.start(t.Context(), "Warm up everything", a.warmup(agent.WarmupAll)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				s := a.current()
				if s.Running || s.Failed != c.failed || !strings.Contains(plain(s.Outcome), c.says) {
					t.Errorf("it says %+v, want %q", s, c.says)
				}
				if c.not != "" && strings.Contains(s.Outcome, c.not) {
					t.Errorf("%q tells %q", s.Outcome, c.not)
				}
			})
		})
	}
}

func TestActionPanicIsAnOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newActions(warmsUp(func(context.Context, func(int, int)) (agent.WarmupResult, error) { panic("oh") }), nil, discard)
		if err := a.start(t.Context(), "Warm up menu", a.warmup(agent.WarmupMenu)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := a.current(); s.Running || !s.Failed {
			t.Errorf("it says %+v", s)
		}
	})
}

func TestActionIsCancelledAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &fakeKeys{count: 10, gate: make(chan struct{})}
		a := newActions(warmsUp(nil), keys, discard)
		clearMenu := a.clearing(keyspace.Family(families.MenuItems))
		if err := a.start(t.Context(), "Clear Menu", clearMenu); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		a.abort(t.Context(), errCancelled)
		if s := a.current(); s.Running || s.Outcome != "was cancelled. Until then: 5 of 10." {
			t.Errorf("it says %+v", s)
		}
		if err := a.start(t.Context(), "Clear Menu", clearMenu); err != nil {
			t.Fatalf("after a cancelled action: %v", err)
		}
		synctest.Wait()
		a.close(t.Context())
		if s := a.current(); s.Running || !strings.Contains(s.Outcome, "the server stops") {
			t.Errorf("it says %+v", s)
		}
		if err := a.start(t.Context(), "Clear Menu", clearMenu); !errors.Is(err, errStopping) {
			t.Errorf("starting after the close: %v", err)
		}
	})
}
