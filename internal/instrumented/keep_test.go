package instrumented

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oglab/ogcache/internal/families"
)

func counter(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	return testutil.ToFloat64(c)
}

// reasons returns how often lookups of the family ended so.
func (c *Cache) reasons(f *families.Family, o outcome) float64 {
	return testutil.ToFloat64(c.view(f).lookups[o])
}

// plant stores a value as if it had been stored earlier.
func plant[T any](t *testing.T, typed Typed[T], id string, v T, expiredFor, loadTime time.Duration) {
	t.Helper()
	k := key(t, typed.view.family, id)
	payload, err := encodeValue(v)
	if err != nil {
		t.Fatal(err)
	}
	e := envelope{
		stamp: newStamp(kindValue), expires: time.Now().Add(-expiredFor), loadTime: loadTime,
		schema: typed.schema, payload: payload,
	}
	if err := typed.cache.redis.Set(t.Context(), k.String(), e.encode(k), time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
}

var errNobody = errors.New("nobody")

func TestAbsenceIsKeptAndAnInsertDropsIt(t *testing.T) {
	c, server := openEmbedded(t, Options{})
	profiles := For[profile](c, families.UserProfile).KeepAbsent(errNobody)
	loads := 0
	load := func(context.Context) (profile, error) {
		loads++
		return profile{}, fmt.Errorf("looking: %w", errNobody)
	}
	for range 3 {
		if _, err := profiles.Fetch(t.Context(), "user_1", load); !errors.Is(err, errNobody) {
			t.Fatalf("got %v, want errNobody", err)
		}
	}
	if loads != 1 {
		t.Errorf("the origin was asked %d times for what it does not have", loads)
	}
	if ttl := server.TTL("user:profile:user_1"); ttl > absentTTL {
		t.Errorf("absence is kept for %v, at most %v are allowed", ttl, absentTTL)
	}
	if _, found, err := profiles.Get(t.Context(), "user_1"); found || err != nil {
		t.Errorf("Get found it: %v, %v", found, err)
	}
	many, err := profiles.FetchMany(t.Context(), []string{"user_1", "user_2"}, func(_ context.Context, missing []string) (map[string]profile, error) {
		if len(missing) != 1 || missing[0] != "user_2" {
			t.Errorf("the origin was asked for %v, want user_2 alone", missing)
		}
		return nil, nil
	})
	if err != nil || len(many) != 0 {
		t.Errorf("a batch got %v, %v", many, err)
	}
	if !server.Exists("user:profile:user_2") {
		t.Error("a batch did not keep that user_2 is absent")
	}
	if err := c.Delete(t.Context(), key(t, families.UserProfile, "user_1")); err != nil {
		t.Fatal(err)
	}
	if p, err := profiles.Fetch(t.Context(), "user_1", returns(profile{Name: "Ann"})); err != nil || p.Name != "Ann" {
		t.Errorf("after the insert: %+v, %v", p, err)
	}
}

func TestExpiredValueIsServedWhileItIsRefreshed(t *testing.T) {
	c, _ := openEmbedded(t, Options{StaleFor: map[*families.Family]time.Duration{families.MenuItems: 10 * time.Minute}})
	menus := For[profile](c, families.MenuItems)
	plant(t, menus, "items", profile{Name: "old"}, time.Second, time.Millisecond)
	release := make(chan struct{})
	load := func(context.Context) (profile, error) {
		<-release
		return profile{Name: "new"}, nil
	}
	for range 5 { // nobody waits for the load
		if p, err := menus.Fetch(t.Context(), "items", load); err != nil || p.Name != "old" {
			t.Fatalf("got %+v, %v, want the value that has just expired", p, err)
		}
	}
	close(release)
	eventually(t, "the refresh is stored", func() bool {
		p, found, err := menus.Get(t.Context(), "items")
		return err == nil && found && p.Name == "new"
	})
	if n := c.reasons(families.MenuItems, staleRevalidating); n != 5 {
		t.Errorf("%v lookups are stale, want 5", n)
	}
	if n := counter(t, c.metrics.refreshes.WithLabelValues("menu_items", fillStored)); n != 1 {
		t.Errorf("%v refreshes were stored, want 1", n)
	}
}

func TestExpiredValueIsServedWhenTheOriginFails(t *testing.T) {
	c, server := openEmbedded(t, Options{
		SoftTimeout: 10 * time.Millisecond,
		StaleFor:    map[*families.Family]time.Duration{families.UserProfile: 10 * time.Minute},
	})
	profiles := For[profile](c, families.UserProfile)
	broken := errors.New("the database is down")
	plant(t, profiles, "user_1", profile{Name: "old"}, time.Minute, time.Millisecond)
	p, err := profiles.Fetch(t.Context(), "user_1", func(context.Context) (profile, error) { return profile{}, broken })
	if err != nil || p.Name != "old" || !server.Exists("user:profile:user_1") {
		t.Errorf("a failing origin: %+v, %v", p, err)
	}
	release := make(chan struct{})
	p, err = profiles.Fetch(t.Context(), "user_1", func(context.Context) (profile, error) {
		<-release
		return profile{Name: "new"}, nil
	})
	if err != nil || p.Name != "old" {
		t.Errorf("a slow origin: %+v, %v", p, err)
	}
	close(release)
	eventually(t, "the slow load is stored", func() bool {
		p, found, err := profiles.Get(t.Context(), "user_1")
		return err == nil && found && p.Name == "new"
	})
	if slow, failed := c.reasons(families.UserProfile, staleOriginSlow), c.reasons(families.UserProfile, staleOriginFailed); slow != 1 || failed != 1 {
		t.Errorf("%v lookups are stale for slowness and %v for failure, want 1 and 1", slow, failed)
	}
	sessions := For[profile](c, families.AuthToken)
	plant(t, sessions, "token", profile{Name: "old"}, time.Second, time.Millisecond)
	if _, err := sessions.Fetch(t.Context(), "token", func(context.Context) (profile, error) { return profile{}, broken }); !errors.Is(err, broken) {
		t.Errorf("an expired session was served: %v", err)
	}
	if _, err := New(Options{StaleFor: map[*families.Family]time.Duration{families.AuthToken: time.Minute}}); err == nil {
		t.Error("a StaleFor for sessions was accepted")
	}
}

func TestEarlyRefreshFollowsXFetch(t *testing.T) {
	const n = 20_000
	for _, inLoadTimes := range []float64{0, 0.5, 1, 2} {
		refreshed := 0
		for i := range n {
			if early(time.Duration(inLoadTimes*float64(time.Second)), time.Second, func() float64 { return (float64(i) + 0.5) / n }) {
				refreshed++
			}
		}
		if got, want := float64(refreshed)/n, math.Exp(-inLoadTimes); math.Abs(got-want) > 0.001 {
			t.Errorf("%v load times before its end a value is refreshed with probability %v, want %v", inLoadTimes, got, want)
		}
	}
	if early(time.Hour, time.Second, func() float64 { return 0 }) {
		t.Error("a value was refreshed an hour before its end")
	}
}

func TestHitAboutToExpireIsRefreshed(t *testing.T) {
	c, _ := openEmbedded(t, Options{Freshness: -1})
	profiles := For[profile](c, families.UserProfile)
	// Two seconds left of a value that took an hour to load: all but certain.
	plant(t, profiles, "user_1", profile{Name: "old"}, -2*time.Second, time.Hour)
	if p, err := profiles.Fetch(t.Context(), "user_1", returns(profile{Name: "new"})); err != nil || p.Name != "old" {
		t.Fatalf("got %+v, %v", p, err)
	}
	eventually(t, "the refresh is stored", func() bool {
		p, found, err := profiles.Get(t.Context(), "user_1")
		return err == nil && found && p.Name == "new"
	})
}

func TestRefreshDoesNotReplaceWhatWasInvalidated(t *testing.T) {
	c, server := openEmbedded(t, Options{Freshness: -1})
	profiles := For[profile](c, families.UserProfile)
	plant(t, profiles, "user_1", profile{Name: "old"}, -2*time.Second, time.Hour)
	reading, release := make(chan struct{}), make(chan struct{})
	_, err := profiles.Fetch(t.Context(), "user_1", func(context.Context) (profile, error) {
		close(reading)
		<-release
		return profile{Name: "old too"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	<-reading
	if err := c.Delete(t.Context(), key(t, families.UserProfile, "user_1")); err != nil {
		t.Fatal(err)
	}
	close(release)
	eventually(t, "the refresh is refused", func() bool {
		return counter(t, c.metrics.refreshes.WithLabelValues("user_profile", fillRefused)) == 1
	})
	if server.Exists("user:profile:user_1") {
		t.Error("the refresh put the old row back")
	}
}

func TestFreshnessChecks(t *testing.T) {
	c, server := openEmbedded(t, Options{Freshness: 1})
	profiles := For[profile](c, families.UserProfile).KeepAbsent(errNobody)
	checks := func(outcome string) float64 {
		return counter(t, c.metrics.freshness.WithLabelValues("user_profile", outcome))
	}
	plant(t, profiles, "same", profile{Name: "Ann"}, -time.Minute, 0)
	plant(t, profiles, "stale", profile{Name: "old"}, -time.Minute, 0)
	plant(t, profiles, "changing", profile{Name: "old"}, -time.Minute, 0)
	looked := make(chan struct{})
	for id, load := range map[string]func(context.Context) (profile, error){
		"same":  returns(profile{Name: "Ann"}),
		"stale": returns(profile{Name: "new"}),
		"changing": func(context.Context) (profile, error) {
			close(looked)
			return profile{Name: "new"}, nil
		},
	} {
		if _, err := profiles.Fetch(t.Context(), id, load); err != nil {
			t.Fatal(err)
		}
	}
	<-looked // the write's invalidation arrives after the first look
	server.Del("user:profile:changing")
	eventually(t, "one of each", func() bool {
		return checks(checkFresh) == 1 && checks(checkStale) == 1 && checks(checkChanged) == 1
	})
	eventually(t, "the stale entry is dropped", func() bool { return !server.Exists("user:profile:stale") })
}

func TestMissesHaveReasons(t *testing.T) {
	c, server := openEmbedded(t, Options{})
	profiles := For[profile](c, families.UserProfile)
	get := func(id string) { _, _ = profiles.Fetch(t.Context(), id, returns(profile{Name: id})) }
	get("a") // first seen
	server.Del("user:profile:a")
	get("a") // lost
	if err := c.Delete(t.Context(), key(t, families.UserProfile, "a")); err != nil {
		t.Fatal(err)
	}
	get("a") // invalidated
	_, _ = profiles.Fetch(t.Context(), "b", func(context.Context) (profile, error) {
		server.Del("user:profile:b")
		return profile{}, nil
	}) // first seen, and refused
	get("b")
	_, _, _ = For[int](c, families.UserProfile).Get(t.Context(), "a") // of another type
	for o, want := range map[outcome]float64{
		missFirstSeen: 2, missLost: 1, missInvalidated: 1, missRefused: 1, missOutdated: 1, missUnknown: 0, missDamaged: 0,
	} {
		if got := c.reasons(families.UserProfile, o); got != want {
			t.Errorf("%v misses are %s, want %v", got, o.reason(), want)
		}
	}
}

func TestHistoryForgetsButDoesNotInvent(t *testing.T) {
	h := newHistory()
	now := time.Now()
	const a, b = uint64(1) << 60, uint64(2) << 60 // share a place
	if o := h.why(a, now); o != missFirstSeen {
		t.Errorf("an unknown key: %s", o.reason())
	}
	h.note(a, stored, now.Add(time.Minute))
	if o := h.why(a, now.Add(2*time.Minute)); o != missExpired {
		t.Errorf("past its end: %s", o.reason())
	}
	h.note(b, dropped, time.Time{})
	if o := h.why(b, now); o != missInvalidated {
		t.Errorf("dropped: %s", o.reason())
	}
	if o := h.why(a, now); o != missUnknown {
		t.Errorf("overwritten: %s, want unknown", o.reason())
	}
}

func TestValueTooLargeIsServedButNotKept(t *testing.T) {
	c, server := openEmbedded(t, Options{MaxValue: 200})
	profiles := For[profile](c, families.UserProfile)
	long := strings.Repeat("x", 500)
	if p, err := profiles.Fetch(t.Context(), "user_1", returns(profile{Name: long})); err != nil || p.Name != long {
		t.Fatalf("got %d bytes, %v", len(p.Name), err)
	}
	if server.Exists("user:profile:user_1") {
		t.Error("it was kept, or its lease was left")
	}
	if n := counter(t, c.metrics.fills.WithLabelValues("user_profile", fillTooLarge)); n != 1 {
		t.Errorf("%v fills are counted as too large, want 1", n)
	}
}

func TestSwitch(t *testing.T) {
	c, server := openEmbedded(t, Options{Off: []*families.Family{families.MenuItems}})
	profiles := For[profile](c, families.UserProfile)
	if c.Enabled(families.MenuItems) || !c.Enabled(families.UserProfile) {
		t.Error("switched off from the start is not what was asked for")
	}
	if _, err := For[profile](c, families.MenuItems).Fetch(t.Context(), "items", returns(profile{})); err != nil || server.Exists("menu:items") {
		t.Errorf("a family that is off was cached, or not served: %v", err)
	}
	get := func(name string) string {
		p, err := profiles.Fetch(t.Context(), "user_1", returns(profile{Name: name}))
		if err != nil {
			t.Fatal(err)
		}
		return p.Name
	}
	get("first")
	c.Switch(false)
	if got := get("second"); got != "second" {
		t.Errorf("while off a reader got %q", got)
	}
	if err := c.Delete(t.Context(), key(t, families.UserProfile, "user_1")); err != nil {
		t.Fatal(err)
	}
	c.Switch(true)
	if got := get("third"); got != "third" {
		t.Errorf("a value from before an invalidation was served: %q", got)
	}
	if n := c.reasons(families.UserProfile, bypassOff); n != 1 {
		t.Errorf("%v lookups were bypasses, want 1", n)
	}
	if on := counter(t, c.metrics.enabled.WithLabelValues("menu_items")); on != 1 {
		t.Errorf("ogcache_enabled is %v", on)
	}
}

func TestLifetimesThatCannotBe(t *testing.T) {
	c, server := openEmbedded(t, Options{})
	profiles := For[profile](c, families.UserProfile)
	reserved, err := profiles.Reserve(t.Context(), []string{"negative", "long", "short"})
	if err != nil || len(reserved) != 3 {
		t.Fatal(reserved, err)
	}
	done, err := profiles.SetMany(t.Context(), []Item[profile]{
		{Reservation: reserved[0], TTL: -time.Second},
		{Reservation: reserved[1], TTL: 1000 * time.Hour},
		{Reservation: reserved[2], TTL: time.Minute},
	})
	if !errors.Is(err, ErrInvalidTTL) || done[0] || !done[1] || !done[2] {
		t.Errorf("stored %v, %v; want the second and third, and ErrInvalidTTL", done, err)
	}
	if long, short := server.TTL("user:profile:long"), server.TTL("user:profile:short"); long > 5*time.Minute || short > time.Minute {
		t.Errorf("lifetimes are %v and %v", long, short)
	}
}
