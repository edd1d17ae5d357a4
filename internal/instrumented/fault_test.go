package instrumented

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/testenv"
)

// openReal returns a cache on a real Redis.
func openReal(t *testing.T, ro RedisOptions, o Options) *Cache {
	t.Helper()
	client, err := NewRedis(ro)
	if err != nil {
		t.Fatal(err)
	}
	o.Redis = client
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		client.Close()
	})
	return c
}

// eventually polls until the condition holds, for at most ten seconds.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			tb.Fatalf("still not so after ten seconds: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// fetch reads one profile as a request of its own and returns how it went.
func fetch(t *testing.T, c *Cache, id string) Result {
	t.Helper()
	r := NewRequest(false)
	p, err := For[profile](c, families.UserProfile).Fetch(WithRequest(t.Context(), r), id, returns(profile{Name: id}))
	if err != nil || p.Name != id {
		t.Fatalf("fetching %s: %+v, %v", id, p, err)
	}
	return r.Lookups()[0].Result
}

func TestRequestsSurviveAnAbsentRedis(t *testing.T) {
	for name, fault := range map[string]struct{ begin, end func(*testenv.RedisServer) }{
		"refused": {(*testenv.RedisServer).Kill, (*testenv.RedisServer).Start},
		"hung":    {(*testenv.RedisServer).Pause, (*testenv.RedisServer).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			server := testenv.Redis(t)
			c := openReal(t, RedisOptions{Addrs: []string{server.Addr}}, Options{})
			eventually(t, "the first hit", func() bool { return fetch(t, c, "user_1") == Hit })

			fault.begin(server)
			eventually(t, "the breaker opens", func() bool {
				return fetch(t, c, "user_1") == Error && !c.Available()
			})
			for i := range 100 {
				if got := fetch(t, c, fmt.Sprintf("user_%d", i)); got != Error {
					t.Errorf("with the breaker open a lookup was a %s", got)
				}
			}

			fault.end(server)
			eventually(t, "hits again", func() bool { return fetch(t, c, "user_1") == Hit })
		})
	}
}

func TestRedisThatNeverWasThere(t *testing.T) {
	c := openReal(t, RedisOptions{Addrs: []string{"127.0.0.1:1"}}, Options{})
	for range 20 {
		if got := fetch(t, c, "user_1"); got != Error {
			t.Errorf("a lookup without Redis was a %s", got)
		}
	}
	if c.Available() {
		t.Error("an absent Redis counts as available")
	}
}

func TestInvalidationDuringAnOutageIsNotLost(t *testing.T) {
	server := testenv.Redis(t)
	c := openReal(t, RedisOptions{Addrs: []string{server.Addr}}, Options{})
	profiles := For[profile](c, families.UserProfile)
	eventually(t, "the old value is cached", func() bool { return fetch(t, c, "user_1") == Hit })

	server.Pause()
	if err := c.Delete(t.Context(), key(t, families.UserProfile, "user_1")); err == nil {
		t.Error("a drop that Redis did not confirm was reported as done")
	}
	server.Resume()
	eventually(t, "the cache is used again", func() bool {
		p, err := profiles.Fetch(t.Context(), "user_1", returns(profile{Name: "new"}))
		if err != nil || p.Name != "new" {
			t.Fatalf("after the write a reader got %+v, %v", p, err)
		}
		_, found, err := profiles.Get(t.Context(), "user_1")
		return err == nil && found
	})
}

func TestCallerThatLeavesIsNotAFaultOfRedis(t *testing.T) {
	server := testenv.Redis(t)
	c := openReal(t, RedisOptions{Addrs: []string{server.Addr}}, Options{})
	eventually(t, "the first hit", func() bool { return fetch(t, c, "user_1") == Hit })
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 50 {
		_, err := For[profile](c, families.UserProfile).Fetch(gone, "user_1", returns(profile{}))
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if !c.Available() {
		t.Error("callers that left opened the breaker")
	}
}

func TestAbsentKeysDoNotOpenTheBreaker(t *testing.T) {
	server := testenv.Redis(t)
	c := openReal(t, RedisOptions{Addrs: []string{server.Addr}}, Options{})
	eventually(t, "the first hit", func() bool { return fetch(t, c, "user_1") == Hit })
	profiles := For[profile](c, families.UserProfile)
	for i := range 100 {
		if _, found, err := profiles.Get(t.Context(), fmt.Sprintf("nobody_%d", i)); found || err != nil {
			t.Fatalf("found %v, %v", found, err)
		}
	}
	if !c.Available() {
		t.Error("misses opened the breaker")
	}
}

func TestPasswordAndDatabaseAreSetBeforeAConnectionIsUsed(t *testing.T) {
	server := testenv.Redis(t, "--requirepass", "a secret")
	c := openReal(t, RedisOptions{Addrs: []string{server.Addr}, Password: "a secret", DB: 3}, Options{})
	eventually(t, "the first hit", func() bool { return fetch(t, c, "user_1") == Hit })
	plain := redis.NewClient(&redis.Options{Addr: server.Addr, Password: "a secret", DB: 3})
	defer plain.Close()
	if n, err := plain.Exists(t.Context(), "user:profile:user_1").Result(); n != 1 || err != nil {
		t.Errorf("database 3 holds %d such keys, %v", n, err)
	}
	wrong := openReal(t, RedisOptions{Addrs: []string{server.Addr}, Password: "wrong"}, Options{})
	eventually(t, "a wrong password opens the breaker", func() bool {
		return fetch(t, wrong, "user_1") == Error && !wrong.Available()
	})
}

// oldServer refuses SET with NX and GET together, as Redis 6.2 does.
type oldServer struct{ refused int }

func (*oldServer) DialHook(next redis.DialHook) redis.DialHook { return next }

func (o *oldServer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "set" {
			o.refused++
			err := redisError("ERR syntax error")
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func (o *oldServer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

func TestLeaseOnServersBeforeRedis7(t *testing.T) {
	server := testenv.Redis(t)
	c := openReal(t, RedisOptions{Addrs: []string{server.Addr}}, Options{})
	old := &oldServer{}
	c.redis.AddHook(old)
	for i := range 3 {
		eventually(t, "a hit", func() bool { return fetch(t, c, fmt.Sprintf("user_%d", i)) == Hit })
	}
	if old.refused != 1 {
		t.Errorf("SET NX GET was tried %d times, want once", old.refused)
	}
	if !c.Available() {
		t.Error("the refusal opened the breaker")
	}
}
