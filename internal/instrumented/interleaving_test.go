package instrumented

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/testenv"
)

// around runs before and after each command that is not part of a pipeline.
type around struct{ before, after func(command string) }

func (around) DialHook(next redis.DialHook) redis.DialHook { return next }

func (a around) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if a.before != nil {
			a.before(cmd.Name())
		}
		err := next(ctx, cmd)
		if a.after != nil {
			a.after(cmd.Name())
		}
		return err
	}
}

func (around) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestPanickingLoadersReleaseWhatTheyHeld(t *testing.T) {
	c, server := openEmbedded(t, Options{Budget: time.Minute, Freshness: -1})
	profiles := For[profile](c, families.UserProfile)
	one := func(context.Context) (profile, error) { panic("boom") }
	many := func(context.Context, []string) (map[string]profile, error) { panic("boom") }
	if _, err := profiles.Fetch(t.Context(), "a", one); !errors.Is(err, ErrPanicked) {
		t.Errorf("a fetch: %v, want ErrPanicked", err)
	}
	if _, err := profiles.FetchMany(t.Context(), []string{"b", "c"}, many); !errors.Is(err, ErrPanicked) {
		t.Errorf("a batch: %v, want ErrPanicked", err)
	}
	if _, err := profiles.Warm(t.Context(), []string{"d"}, many); !errors.Is(err, ErrPanicked) {
		t.Errorf("a warm-up: %v, want ErrPanicked", err)
	}
	if keys := server.Keys(); len(keys) > 0 {
		t.Errorf("leases were left: %v", keys)
	}
	plant(t, profiles, "e", profile{Name: "old"}, -2*time.Second, time.Hour)
	for range 2 { // the second after the pause that a failed refresh makes
		eventually(t, "a refresh begins", func() bool {
			begun := make(chan struct{}, 1)
			_, _ = profiles.Fetch(t.Context(), "e", func(context.Context) (profile, error) {
				begun <- struct{}{}
				panic("boom")
			})
			select {
			case <-begun:
				return true
			case <-time.After(50 * time.Millisecond):
				return false
			}
		})
		plant(t, profiles, "e", profile{Name: "old"}, -2*time.Second, time.Hour)
	}
	eventually(t, "no load holds a place", func() bool { return c.loads.running() == 0 })
}

func TestCancelledBatchLeavesNoLease(t *testing.T) {
	c, server := openEmbedded(t, Options{Budget: time.Minute})
	profiles := For[profile](c, families.UserProfile)
	ctx, leave := context.WithCancel(t.Context())
	_, err := profiles.FetchMany(ctx, []string{"a"}, func(ctx context.Context, _ []string) (map[string]profile, error) {
		leave()
		return nil, ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if keys := server.Keys(); len(keys) > 0 {
		t.Errorf("leases were left: %v", keys)
	}
}

// The server is restarted from an old snapshot between a miss and the lease.
func TestLeasePathTrustsNoMoreThanTheRead(t *testing.T) {
	server := testenv.Redis(t)
	ledger := &memoryLedger{trusted: make(map[string]bool)}
	c := openReal(t, RedisOptions{Addrs: []string{server.Addr}}, Options{Ledger: ledger, Freshness: -1, Budget: time.Second})
	profiles := For[profile](c, families.UserProfile)
	eventually(t, "the first hit", func() bool { return fetch(t, c, "user_1") == Hit })
	server.Snapshot()
	if err := c.Delete(t.Context(), key(t, families.UserProfile, "user_1")); err != nil {
		t.Fatal(err)
	}
	ledger.set(func() { ledger.broken = errors.New("the database is down") })
	var once sync.Once
	c.redis.AddHook(around{before: func(command string) {
		if command == "set" {
			once.Do(func() {
				server.Kill()
				server.Start()
			})
		}
	}})
	if p, err := profiles.Fetch(t.Context(), "user_1", returns(profile{Name: "new"})); err != nil || p.Name != "new" {
		t.Errorf("after the invalidation a reader got %+v, %v", p, err)
	}
}

// A restart brings a lease back that an invalidation had revoked.
func TestFillOverARestoredLeaseConfirmsNothing(t *testing.T) {
	server := testenv.Redis(t)
	ledger := &memoryLedger{trusted: make(map[string]bool)}
	c := openReal(t, RedisOptions{Addrs: []string{server.Addr}}, Options{
		Ledger: ledger, Freshness: -1, Budget: time.Second, LoadTimeout: time.Minute,
	})
	profiles := For[profile](c, families.UserProfile)
	eventually(t, "the first hit", func() bool { return fetch(t, c, "user_0") == Hit })
	reading, release := make(chan struct{}), make(chan struct{})
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = profiles.Fetch(t.Context(), "user_1", func(context.Context) (profile, error) {
			close(reading)
			<-release
			return profile{Name: "old"}, nil
		})
	})
	<-reading
	server.Snapshot()
	if err := server.Client(t).Del(t.Context(), "user:profile:user_1").Err(); err != nil {
		t.Fatal(err)
	}
	ledger.set(func() { ledger.broken = errors.New("the database is down") })
	before := c.flights.moment.Load()
	both.Go(func() {
		if p, err := profiles.Fetch(t.Context(), "user_1", returns(profile{Name: "new"})); err != nil || p.Name != "new" {
			t.Errorf("who came after the invalidation got %+v, %v", p, err)
		}
	})
	eventually(t, "the second caller has arrived", func() bool { return c.flights.moment.Load() > before })
	server.Kill()
	server.Start()
	close(release)
	both.Wait()
}

// A drop is confirmed between a batch's read and its answer.
func TestBatchDoesNotReadWhatWasToBeDropped(t *testing.T) {
	c, _ := openEmbedded(t, Options{Budget: time.Minute, Freshness: -1})
	profiles := For[profile](c, families.UserProfile)
	if _, err := profiles.Fetch(t.Context(), "a", returns(profile{Name: "old"})); err != nil {
		t.Fatal(err)
	}
	c.redis.AddHook(around{after: func(command string) {
		if command == "mget" {
			if err := c.drops.flush(context.Background(), c.DropNow); err != nil {
				t.Error(err)
			}
		}
	}})
	c.drops.add([]families.Key{key(t, families.UserProfile, "a")}) // of a Delete that failed
	got, err := profiles.FetchMany(t.Context(), []string{"a"}, func(context.Context, []string) (map[string]profile, error) {
		return map[string]profile{"a": {Name: "new"}}, nil
	})
	if err != nil || got["a"].Name != "new" {
		t.Errorf("the writer read %+v, %v", got, err)
	}
}

func TestSlowRedisIsNotTakenForADistantOne(t *testing.T) {
	client, err := NewRedis(RedisOptions{Addrs: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := New(Options{Redis: client})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for roundTrip, want := range map[time.Duration]time.Duration{
		0: DefaultBudget, time.Millisecond: DefaultBudget, 30 * time.Millisecond: 240 * time.Millisecond, time.Second: longestBudget,
	} {
		client.roundTrip.Store(int64(roundTrip))
		if got := c.Budget(); got != want {
			t.Errorf("with a round trip of %v the budget is %v, want %v", roundTrip, got, want)
		}
	}
}
