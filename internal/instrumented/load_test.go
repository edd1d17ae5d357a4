package instrumented_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
)

// open returns a cache on a Redis. Both are closed when the test ends.
func open(tb testing.TB, redis instrumented.RedisOptions, o instrumented.Options) *instrumented.Cache {
	tb.Helper()
	client, err := instrumented.NewRedis(redis)
	if err != nil {
		tb.Fatal(err)
	}
	o.Redis = client
	c, err := instrumented.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error("closing the cache: ", err)
		}
		if err := client.Close(); err != nil {
			tb.Error("closing its Redis client: ", err)
		}
	})
	return c
}

// until polls until the condition holds, for at most two minutes.
func until(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	late := time.After(2 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			tb.Fatalf("still not so after two minutes: %s", what)
		}
	}
}

const (
	loadIDs   = 100
	batchSize = 10
	// One request of so many asks for a batch.
	batchEvery = 5
)

func id(i int) string { return fmt.Sprintf("user_%d", i%loadIDs) }

// valueOf is what the origin holds: a value that names its key.
func valueOf(id string) string { return "the profile of " + id }

func loadOne(id string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return valueOf(id), nil }
}

func loadMany(_ context.Context, missing []string) (map[string]string, error) {
	values := make(map[string]string)
	for _, id := range missing {
		values[id] = valueOf(id)
	}
	return values, nil
}

// sample is one request under load.
type sample struct {
	at        time.Time
	took      time.Duration // the origin takes no time, so this is the cache's
	available bool          // as the cache said at its start
	id        string        // of a single key
	hit       bool          // for a single key
	err       error
	wrong     string // a value of another key
}

// load sends requests at a constant rate that does not wait for answers.
type load struct {
	cache  *instrumented.Cache
	values instrumented.Typed[string]
	stop   func()

	mu      sync.Mutex
	samples []sample
}

// startLoad begins rate requests per second, until stop is called or the test
// ends.
func startLoad(tb testing.TB, c *instrumented.Cache, rate int) *load {
	l := &load{cache: c, values: instrumented.For[string](c, families.UserProfile)}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				running.Go(func() { l.request(i) })
			}
		}
	})
	l.stop = func() {
		cancel()
		running.Wait()
	}
	tb.Cleanup(l.stop)
	return l
}

func (l *load) request(i int) {
	r := instrumented.NewRequest(false)
	ctx := instrumented.WithRequest(context.Background(), r)
	s := sample{at: time.Now(), available: l.cache.Available()}
	if i%batchEvery == 0 {
		s.wrong, s.err = l.batch(ctx, i)
	} else {
		s.id = id(i)
		s.wrong, s.err = l.single(ctx, i)
		lookups := r.Lookups()
		s.hit = len(lookups) == 1 && lookups[0].Result == instrumented.Hit
	}
	s.took = time.Since(s.at)
	l.mu.Lock()
	l.samples = append(l.samples, s)
	l.mu.Unlock()
}

func (l *load) single(ctx context.Context, i int) (wrong string, err error) {
	got, err := l.values.Fetch(ctx, id(i), loadOne(id(i)))
	if err == nil && got != valueOf(id(i)) {
		wrong = fmt.Sprintf("%s has %q", id(i), got)
	}
	return wrong, err
}

func (l *load) batch(ctx context.Context, i int) (wrong string, err error) {
	var ids []string
	for k := range batchSize {
		ids = append(ids, id(i+k))
	}
	got, err := l.values.FetchMany(ctx, ids, loadMany)
	if err != nil {
		return "", err
	}
	for _, id := range ids {
		if got[id] != valueOf(id) {
			wrong = fmt.Sprintf("%s in a batch has %q", id, got[id])
		}
	}
	return wrong, nil
}

// sent returns the requests so far that began in [from, to); the zero time is
// no limit.
func (l *load) sent(from, to time.Time) (found []sample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.samples {
		if !s.at.Before(from) && (to.IsZero() || s.at.Before(to)) {
			found = append(found, s)
		}
	}
	return found
}

// await waits until n requests that began from now on are answered.
func (l *load) await(tb testing.TB, n int) {
	tb.Helper()
	now := time.Now()
	until(tb, "the load goes on", func() bool { return len(l.sent(now, time.Time{})) >= n })
}

// hitSince returns when the first hit began that began after t, and false if
// there is none yet.
func (l *load) hitSince(t time.Time) (at time.Time, ok bool) {
	for _, s := range l.sent(t, time.Time{}) {
		if s.hit && (!ok || s.at.Before(at)) {
			at, ok = s.at, true
		}
	}
	return at, ok
}

// allHitSince returns when the last of the keys that are asked for singly had
// its first hit that began after t, and false while there are some without.
func (l *load) allHitSince(t time.Time) (last time.Time, ok bool) {
	first := map[string]time.Time{}
	for _, s := range l.sent(t, time.Time{}) {
		if at, known := first[s.id]; s.hit && (!known || s.at.Before(at)) {
			first[s.id] = s.at
		}
	}
	for _, at := range first {
		if at.After(last) {
			last = at
		}
	}
	return last, len(first) == loadIDs-loadIDs/batchEvery
}

// check reports requests that failed or got another key's value.
func (l *load) check(tb testing.TB) (failed, wrong int) {
	tb.Helper()
	for _, s := range l.sent(time.Time{}, time.Time{}) {
		if s.err != nil {
			if failed++; failed == 1 {
				tb.Errorf("a request failed: %v", s.err)
			}
		}
		if s.wrong != "" {
			if wrong++; wrong == 1 {
				tb.Errorf("a request got a wrong value: %s", s.wrong)
			}
		}
	}
	return failed, wrong
}
