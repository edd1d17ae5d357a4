package instrumented

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oglab/ogcache/internal/families"
)

type profile struct {
	Name string
	Ends time.Time
}

// openEmbedded returns a cache on an embedded Redis.
func openEmbedded(t *testing.T, o Options) (*Cache, *miniredis.Miniredis) {
	t.Helper()
	server := miniredis.RunT(t)
	client, err := NewRedis(RedisOptions{Addrs: []string{server.Addr()}})
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
	return c, server
}

func returns(p profile) func(context.Context) (profile, error) {
	return func(context.Context) (profile, error) { return p, nil }
}

func never(t *testing.T) func(context.Context) (profile, error) {
	return func(context.Context) (profile, error) {
		t.Error("the origin was asked for a value that is cached")
		return profile{}, nil
	}
}

func TestFetchLoadsOnceThenHits(t *testing.T) {
	reg := prometheus.NewRegistry()
	c, server := openEmbedded(t, Options{Registerer: reg})
	profiles := For[profile](c, families.UserProfile)
	ctx := WithRequest(t.Context(), NewRequest(false))
	for range 3 {
		p, err := profiles.Fetch(ctx, "user_1", returns(profile{Name: "Ann"}))
		if err != nil || p.Name != "Ann" {
			t.Fatalf("got %+v, %v", p, err)
		}
	}
	var results []Result
	for _, l := range requestFrom(ctx).Lookups() {
		results = append(results, l.Result)
	}
	if len(results) != 3 || results[0] != Miss || results[1] != Hit || results[2] != Hit {
		t.Errorf("lookups were %v, want miss, hit, hit", results)
	}
	s := c.Stats().Families["user_profile"]
	if s.Lookups[Hit] != 2 || s.Lookups[Miss] != 1 || s.Hit.Count() != 2 || s.Miss.Count() != 1 || s.Origin.Count() != 1 {
		t.Errorf("statistics are %+v", s)
	}
	ttl := server.TTL("user:profile:user_1")
	if ttl > 5*time.Minute || ttl < 270*time.Second {
		t.Errorf("the entry lives %v, want 5 min less at most 10 %%", ttl)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("metrics lint: %v %v", problems, err)
	}
}

func TestValueEndsWithWhatItStandsFor(t *testing.T) {
	c, server := openEmbedded(t, Options{})
	sessions := For[profile](c, families.AuthToken).Until(func(p profile) time.Time { return p.Ends })
	for id, test := range map[string]struct {
		ends        time.Time
		least, most time.Duration
	}{
		"soon":  {time.Now().Add(time.Minute), 50 * time.Second, time.Minute},
		"later": {time.Now().Add(48 * time.Hour), 54 * time.Minute, time.Hour},
		"never": {time.Time{}, 54 * time.Minute, time.Hour},
	} {
		if _, err := sessions.Fetch(t.Context(), id, returns(profile{Ends: test.ends})); err != nil {
			t.Fatal(err)
		}
		if ttl := server.TTL("auth:token:" + id); ttl < test.least || ttl > test.most {
			t.Errorf("%s: the entry lives %v, want %v to %v", id, ttl, test.least, test.most)
		}
	}
	if _, err := sessions.Fetch(t.Context(), "over", returns(profile{Ends: time.Now().Add(-time.Second)})); err != nil {
		t.Fatal(err)
	}
	if server.Exists("auth:token:over") {
		t.Error("a value that has ended was stored, or its lease was left")
	}
}

func TestFailedLoadIsNotKept(t *testing.T) {
	c, server := openEmbedded(t, Options{})
	profiles := For[profile](c, families.UserProfile)
	broken := errors.New("database is on fire")
	_, err := profiles.Fetch(t.Context(), "user_1", func(context.Context) (profile, error) {
		return profile{Name: "half"}, broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the loader's error", err)
	}
	if server.Exists("user:profile:user_1") {
		t.Error("something was kept of a failed load")
	}
	_, err = profiles.Fetch(t.Context(), "user_1", func(context.Context) (profile, error) { panic("boom") })
	if !errors.Is(err, ErrPanicked) || strings.Contains(err.Error(), "boom") {
		t.Errorf("got %v, want ErrPanicked, without what it panicked with", err)
	}
	if p, err := profiles.Fetch(t.Context(), "user_1", returns(profile{Name: "Ann"})); err != nil || p.Name != "Ann" {
		t.Errorf("after the failures: %+v, %v", p, err)
	}
}

func TestReaderNeverFillsWhatAWriterInvalidated(t *testing.T) {
	c, server := openEmbedded(t, Options{})
	profiles := For[profile](c, families.UserProfile)
	reading, written := make(chan struct{}), make(chan struct{})
	done := make(chan profile)
	go func() {
		p, err := profiles.Fetch(t.Context(), "user_1", func(context.Context) (profile, error) {
			close(reading)
			<-written
			return profile{Name: "old"}, nil
		})
		if err != nil {
			t.Error(err)
		}
		done <- p
	}()
	<-reading // the old row has been read, or is about to be
	if err := c.Delete(t.Context(), key(t, families.UserProfile, "user_1")); err != nil {
		t.Fatal(err)
	}
	close(written)
	<-done
	if server.Exists("user:profile:user_1") {
		t.Error("the cache holds the old row")
	}
	if p, err := profiles.Fetch(t.Context(), "user_1", returns(profile{Name: "new"})); err != nil || p.Name != "new" {
		t.Errorf("the next reader got %+v, %v; want the new row", p, err)
	}
}

func TestReaderAfterAnInvalidationDoesNotJoinAnOlderLoad(t *testing.T) {
	c, _ := openEmbedded(t, Options{})
	profiles := For[profile](c, families.UserProfile)
	reading, release := make(chan struct{}), make(chan struct{})
	var first sync.WaitGroup
	first.Go(func() {
		_, err := profiles.Fetch(t.Context(), "user_1", func(context.Context) (profile, error) {
			close(reading)
			<-release
			return profile{Name: "old"}, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-reading
	if err := c.Delete(t.Context(), key(t, families.UserProfile, "user_1")); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	p, err := profiles.Fetch(soon, "user_1", returns(profile{Name: "new"}))
	close(release)
	first.Wait()
	if err != nil || p.Name != "new" {
		t.Errorf("got %+v, %v; want the new row", p, err)
	}
}

func TestColdKeyAsksTheOriginOnce(t *testing.T) {
	c, server := openEmbedded(t, Options{Budget: time.Minute})
	// A second process: another cache on the same Redis.
	client, err := NewRedis(RedisOptions{Addrs: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	other, err := New(Options{Redis: client, Budget: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()

	const readers = 1000
	var loads atomic.Int64
	var ready, all sync.WaitGroup
	ready.Add(readers)
	for i := range readers {
		profiles := For[profile](c, families.UserProfile)
		if i%2 == 1 {
			profiles = For[profile](other, families.UserProfile)
		}
		all.Go(func() {
			ready.Done()
			ready.Wait()
			p, err := profiles.Fetch(t.Context(), "user_1", func(context.Context) (profile, error) {
				loads.Add(1)
				return profile{Name: "Ann"}, nil
			})
			if err != nil || p.Name != "Ann" {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}
	all.Wait()
	if n := loads.Load(); n != 1 {
		t.Errorf("the origin was asked %d times, want once", n)
	}
	misses := c.Stats().Families["user_profile"].Lookups
	others := other.Stats().Families["user_profile"].Lookups
	if total := misses[Hit] + misses[Miss] + others[Hit] + others[Miss]; total != readers {
		t.Errorf("%d lookups were counted, want one for each of %d readers", total, readers)
	}
}

func TestLoadOutlivesItsFirstCaller(t *testing.T) {
	c, _ := openEmbedded(t, Options{})
	profiles := For[profile](c, families.UserProfile)
	reading, release := make(chan struct{}), make(chan struct{})
	first, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := profiles.Fetch(first, "user_1", func(ctx context.Context) (profile, error) {
			close(reading)
			<-release
			return profile{Name: "Ann"}, ctx.Err()
		})
		left <- err
	}()
	<-reading
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that left got %v", err)
	}
	second := make(chan error)
	go func() {
		_, err := profiles.Fetch(t.Context(), "user_1", never(t))
		second <- err
	}()
	close(release)
	if err := <-second; err != nil {
		t.Errorf("the caller that stayed got %v", err)
	}
}

func TestBypassNeitherReadsNorStores(t *testing.T) {
	c, server := openEmbedded(t, Options{})
	profiles := For[profile](c, families.UserProfile)
	r := NewRequest(true)
	ctx := WithRequest(t.Context(), r)
	for range 2 {
		if _, err := profiles.Fetch(ctx, "user_1", returns(profile{Name: "Ann"})); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.Lookups(); len(got) != 2 || got[0].Result != Bypass || got[1].Result != Bypass {
		t.Errorf("lookups were %v, want two bypasses", got)
	}
	if server.Exists("user:profile:user_1") {
		t.Error("a bypass stored a value")
	}
	if n := c.Stats().Families["user_profile"].Origin.Count(); n != 2 {
		t.Errorf("the origin was asked %d times, want 2", n)
	}
}

func TestDamagedValueIsAMissAndReplaced(t *testing.T) {
	c, server := openEmbedded(t, Options{})
	profiles := For[profile](c, families.UserProfile)
	foreign := envelope{stamp: newStamp(kindValue), expires: time.Now().Add(time.Hour), schema: profiles.schema, payload: []byte(`{"Name":"Eve"}`)}
	for name, raw := range map[string][]byte{
		"another user's": foreign.encode(key(t, families.UserProfile, "user_2")),
		"text":           []byte("hello"),
		"not JSON":       envelope{stamp: newStamp(kindValue), expires: time.Now().Add(time.Hour), schema: profiles.schema, payload: []byte("{")}.encode(key(t, families.UserProfile, "user_1")),
	} {
		if err := server.Set("user:profile:user_1", string(raw)); err != nil {
			t.Fatal(err)
		}
		if p, err := profiles.Fetch(t.Context(), "user_1", returns(profile{Name: "Ann"})); err != nil || p.Name != "Ann" {
			t.Errorf("%s: got %+v, %v", name, p, err)
		}
		if p, err := profiles.Fetch(t.Context(), "user_1", never(t)); err != nil || p.Name != "Ann" {
			t.Errorf("%s: afterwards %+v, %v", name, p, err)
		}
	}
	if n := testutil.ToFloat64(c.metrics.lookups.WithLabelValues("user_profile", "miss", "damaged")); n != 3 {
		t.Errorf("%v misses are counted as damaged, want 3", n)
	}
}

func TestInvalidIDNeverReachesRedis(t *testing.T) {
	c, server := openEmbedded(t, Options{})
	profiles := For[profile](c, families.UserProfile)
	for _, id := range []string{"", "a:b", "a*", "{x}", "a\x00", "a\nb", strings.Repeat("x", 64<<10)} {
		if _, err := profiles.Fetch(t.Context(), id, never(t)); !errors.Is(err, families.ErrInvalidID) {
			t.Errorf("id %.10q: got %v, want ErrInvalidID", id, err)
		}
		if _, err := profiles.GetMany(t.Context(), []string{"ok", id}); !errors.Is(err, families.ErrInvalidID) {
			t.Errorf("batch with id %.10q: got %v, want ErrInvalidID", id, err)
		}
	}
	if n := len(server.Keys()); n != 0 {
		t.Errorf("%d keys were made", n)
	}
}

func TestWithoutRedisEveryReadIsServed(t *testing.T) {
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	profiles := For[profile](c, families.UserProfile)
	if p, err := profiles.Fetch(t.Context(), "user_1", returns(profile{Name: "Ann"})); err != nil || p.Name != "Ann" {
		t.Errorf("got %+v, %v", p, err)
	}
	if c.Available() || c.Configured() {
		t.Error("a cache without Redis says it is available")
	}
	if err := c.Delete(t.Context(), key(t, families.UserProfile, "user_1")); err != nil {
		t.Errorf("deleting: %v", err)
	}
	if n := c.Stats().Families["user_profile"].Lookups[Bypass]; n != 1 {
		t.Errorf("%d bypasses counted, want 1", n)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]Options{
		"negative budget": {Budget: -1},
		"TTL of zero":     {TTL: map[*families.Family]time.Duration{families.AuthToken: 0}},
		"TTL too long":    {TTL: map[*families.Family]time.Duration{families.AuthToken: 2 * time.Hour}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
