package instrumented

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// flights lets concurrent callers of one key share one load, without ever
// giving a caller a value that is older than an invalidation that the caller
// could have seen. A caller takes the value of a load that it joined only if
//
//   - the load was filled over its own lease, and the caller joined before the
//     fill was sent: no invalidation came between lease and fill, or
//   - what the value was read by was sent after the caller arrived.
//
// Otherwise it waits for the next load of the key, which begins after its
// arrival; so nobody waits for more than two. The load outlives its callers:
// one that gives up does not fail the others.
type flights struct {
	mu     sync.Mutex
	byKey  map[string]*flight
	moment atomic.Uint64 // orders arrivals and reads
}

type flight struct {
	flights *flights
	key     string
	sent    atomic.Uint64 // the moment before its last read was sent
	done    chan struct{}
	// Set before done is closed.
	value  any
	err    error
	filled bool
}

// do returns what run returned for the key, starting it unless it is under
// way. It stops waiting, with the context's error, when ctx ends.
func (g *flights) do(ctx context.Context, key string, run func(*flight) (any, error)) (value any, joined bool, err error) {
	arrived := g.moment.Add(1)
	for {
		f, joined := g.join(key, run)
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, joined, ctx.Err()
		}
		if !joined || f.filled || f.sent.Load() > arrived {
			return f.value, joined, f.err
		}
	}
}

func (g *flights) join(key string, run func(*flight) (any, error)) (f *flight, joined bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f, joined = g.byKey[key]; joined {
		return f, true
	}
	f = &flight{flights: g, key: key, done: make(chan struct{})}
	f.reads()
	if g.byKey == nil {
		g.byKey = make(map[string]*flight)
	}
	g.byKey[key] = f
	go f.run(run)
	return f, false
}

func (f *flight) run(run func(*flight) (any, error)) {
	defer func() {
		if p := recover(); p != nil {
			f.value, f.err = nil, fmt.Errorf("a shared load: %w", ErrPanicked)
		}
		f.land()
		close(f.done)
	}()
	f.value, f.err = run(f)
}

// reads tells that the next thing the flight does is to read, from Redis or
// the origin.
func (f *flight) reads() { f.sent.Store(f.flights.moment.Add(1)) }

// land keeps later callers from joining.
func (f *flight) land() {
	f.flights.mu.Lock()
	defer f.flights.mu.Unlock()
	if f.flights.byKey[f.key] == f {
		delete(f.flights.byKey, f.key)
	}
}

// forget makes later callers of the key start a load of their own: what is
// being loaded now may predate an invalidation that they have seen.
func (g *flights) forget(key string) {
	g.mu.Lock()
	delete(g.byKey, key)
	g.mu.Unlock()
}
