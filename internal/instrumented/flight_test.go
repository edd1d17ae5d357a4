package instrumented

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oglab/ogcache/internal/families"
)

// A joiner of a load whose fill was refused may have seen the invalidation
// that refused it.
func TestJoinerOfARefusedLoadGetsAnother(t *testing.T) {
	c, server := openEmbedded(t, Options{Budget: time.Minute})
	profiles := For[profile](c, families.UserProfile)
	reading, release := make(chan struct{}), make(chan struct{})
	var loads atomic.Int64
	load := func(context.Context) (profile, error) {
		if loads.Add(1) == 1 {
			close(reading)
			<-release
			return profile{Name: "old"}, nil
		}
		return profile{Name: "new"}, nil
	}
	var first, joiner sync.WaitGroup
	first.Go(func() { _, _ = profiles.Fetch(t.Context(), "user_1", load) })
	<-reading
	server.Del("user:profile:user_1") // as another process, or redis-cli, drops it
	joiner.Go(func() {
		if p, err := profiles.Fetch(t.Context(), "user_1", load); err != nil || p.Name != "new" {
			t.Errorf("who came after the invalidation got %+v, %v", p, err)
		}
	})
	eventually(t, "the second caller waits", func() bool { return c.flights.moment.Load() >= 5 })
	close(release)
	first.Wait()
	joiner.Wait()
}

func TestFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g flights
		var runs atomic.Int64
		results := make(chan any, 10)
		call := func(filled, again bool) {
			v, _, err := g.do(t.Context(), "key", func(f *flight) (any, error) {
				n := runs.Add(1)
				if again {
					time.Sleep(time.Second)
					f.reads()
				}
				time.Sleep(time.Second)
				f.filled = filled
				return n, nil
			})
			if err != nil {
				t.Error(err)
			}
			results <- v
		}
		// Not filled: those who joined take the second load, which began after
		// all of them had come, together.
		go call(false, false)
		synctest.Wait()
		for range 3 {
			go call(false, false)
		}
		for _, want := range []int64{1, 2, 2, 2} {
			if got := <-results; got != want {
				t.Errorf("got the value of load %v, want that of %d", got, want)
			}
		}
		// Filled: everybody shares the first.
		go call(true, false)
		synctest.Wait()
		go call(true, false)
		if a, b := <-results, <-results; a != int64(3) || b != int64(3) {
			t.Errorf("got the values of loads %v and %v, want 3 and 3", a, b)
		}
		// Read anew after the joiner came: good enough for it.
		go call(false, true)
		synctest.Wait()
		go call(false, true)
		if a, b := <-results, <-results; a != int64(4) || b != int64(4) {
			t.Errorf("got the values of loads %v and %v, want 4 and 4", a, b)
		}
	})
}

func TestNobodyJoinsALoadThatHasLanded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g flights
		release := make(chan struct{})
		go func() {
			_, _, _ = g.do(t.Context(), "key", func(f *flight) (any, error) {
				f.land() // the fill is on its way
				<-release
				f.filled = true
				return "first", nil
			})
		}()
		synctest.Wait()
		v, joined, err := g.do(t.Context(), "key", func(*flight) (any, error) { return "second", nil })
		if v != "second" || joined || err != nil {
			t.Errorf("got %v, joined %v, %v; want a load of its own", v, joined, err)
		}
		close(release)
	})
}

// fills tells of every fill before it is sent.
type fills struct{ sending func() }

func (fills) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f fills) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if name := cmd.Name(); name == "evalsha" || name == "eval" {
			f.sending()
		}
		return next(ctx, cmd)
	}
}

func (fills) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestNobodyJoinsALoadWhoseFillIsOnItsWay(t *testing.T) {
	c, _ := openEmbedded(t, Options{Budget: time.Minute})
	open := -1
	c.redis.AddHook(fills{func() {
		c.flights.mu.Lock()
		open = len(c.flights.byKey)
		c.flights.mu.Unlock()
	}})
	if _, err := For[profile](c, families.UserProfile).Fetch(t.Context(), "user_1", returns(profile{})); err != nil {
		t.Fatal(err)
	}
	if open != 0 {
		t.Errorf("%d loads could be joined while the fill was sent, want 0", open)
	}
}

func TestBulkheadRefusesWhatWaitsTooLong(t *testing.T) {
	c, _ := openEmbedded(t, Options{MaxLoads: 2, MaxLoadWait: 20 * time.Millisecond})
	profiles := For[profile](c, families.UserProfile)
	full, release := make(chan struct{}, 2), make(chan struct{})
	var running sync.WaitGroup
	for _, id := range []string{"user_1", "user_2"} {
		running.Go(func() {
			_, err := profiles.Fetch(t.Context(), id, func(context.Context) (profile, error) {
				full <- struct{}{}
				<-release
				return profile{}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	<-full
	<-full
	if _, err := profiles.Fetch(t.Context(), "user_3", never(t)); !errors.Is(err, ErrOverloaded) {
		t.Errorf("a third load got %v, want ErrOverloaded", err)
	}
	if shed := counter(t, c.metrics.shed.WithLabelValues("user_profile")); shed != 1 || c.loads.running() != 2 {
		t.Errorf("%v loads were shed and %d run, want 1 and 2", shed, c.loads.running())
	}
	close(release)
	running.Wait()
	if n := c.loads.running(); n != 0 {
		t.Errorf("%d loads still have a place", n)
	}
	if _, err := profiles.Fetch(t.Context(), "user_3", returns(profile{})); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestLoadThatLooksUpNeedsOnePlace(t *testing.T) {
	c, _ := openEmbedded(t, Options{MaxLoads: 1, MaxLoadWait: 20 * time.Millisecond})
	profiles := For[profile](c, families.UserProfile)
	_, err := profiles.Fetch(t.Context(), "outer", func(ctx context.Context) (profile, error) {
		return profiles.Fetch(ctx, "inner", returns(profile{Name: "inner"}))
	})
	if err != nil {
		t.Errorf("a load that looks something up itself: %v", err)
	}
}
