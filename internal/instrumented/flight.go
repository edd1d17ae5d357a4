package instrumented

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// flights lets concurrent callers of one key share one load. The load outlives
// its callers: one that gives up does not fail the others.
type flights struct {
	mu    sync.Mutex
	byKey map[string]*flight
}

type flight struct {
	done  chan struct{}
	value any
	err   error
}

// do returns what run returned for the key, starting it unless it is under
// way. It stops waiting, with the context's error, when ctx ends.
func (g *flights) do(ctx context.Context, key string, run func() (any, error)) (any, error) {
	g.mu.Lock()
	f, joined := g.byKey[key]
	if !joined {
		f = &flight{done: make(chan struct{})}
		if g.byKey == nil {
			g.byKey = make(map[string]*flight)
		}
		g.byKey[key] = f
	}
	g.mu.Unlock()
	if !joined {
		go g.run(key, f, run)
	}
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g *flights) run(key string, f *flight, run func() (any, error)) {
	defer func() {
		if p := recover(); p != nil {
			f.value, f.err = nil, fmt.Errorf("loader panicked: %v\n%s", p, debug.Stack())
		}
		g.mu.Lock()
		if g.byKey[key] == f {
			delete(g.byKey, key)
		}
		g.mu.Unlock()
		close(f.done)
	}()
	f.value, f.err = run()
}

// forget makes later callers of the key start a load of their own: what is
// being loaded now may predate an invalidation that they have seen.
func (g *flights) forget(key string) {
	g.mu.Lock()
	delete(g.byKey, key)
	g.mu.Unlock()
}
