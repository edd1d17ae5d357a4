package instrumented

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oglab/ogcache/internal/families"
)

func TestBatchLoadsOnlyWhatIsMissing(t *testing.T) {
	c, _ := openEmbedded(t, Options{})
	profiles := For[profile](c, families.UserProfile)
	if _, err := profiles.Fetch(t.Context(), "user_2", returns(profile{Name: "cached"})); err != nil {
		t.Fatal(err)
	}
	var asked []string
	load := func(_ context.Context, missing []string) (map[string]profile, error) {
		asked = missing
		found := make(map[string]profile)
		for _, id := range missing {
			if id != "nobody" {
				found[id] = profile{Name: "loaded " + id}
			}
		}
		return found, nil
	}
	got, err := profiles.FetchMany(t.Context(), []string{"user_1", "user_2", "nobody", "user_3"}, load)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"user_1", "nobody", "user_3"}; !slices.Equal(asked, want) {
		t.Errorf("the origin was asked for %v, want %v", asked, want)
	}
	want := map[string]profile{"user_1": {Name: "loaded user_1"}, "user_2": {Name: "cached"}, "user_3": {Name: "loaded user_3"}}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	cached, err := profiles.GetMany(t.Context(), []string{"user_1", "user_2", "user_3", "nobody"})
	if err != nil || !maps.Equal(cached, want) {
		t.Errorf("afterwards %v are cached (%v), want %v", cached, err, want)
	}
}

// roundTrips counts what a client sends.
type roundTrips struct{ atomic.Int64 }

func (*roundTrips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (n *roundTrips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		n.Add(1)
		return next(ctx, cmd)
	}
}

func (n *roundTrips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		n.Add(1)
		return next(ctx, cmds)
	}
}

func TestBatchStepIsOneRoundTrip(t *testing.T) {
	c, _ := openEmbedded(t, Options{Budget: time.Minute})
	var trips roundTrips
	c.redis.AddHook(&trips)
	profiles := For[profile](c, families.UserProfile)
	ids := make([]string, 100)
	for i := range ids {
		ids[i] = fmt.Sprintf("user_%d", i)
	}
	stored, err := profiles.Warm(t.Context(), ids, func(_ context.Context, missing []string) (map[string]profile, error) {
		found := make(map[string]profile)
		for _, id := range missing {
			found[id] = profile{Name: id}
		}
		return found, nil
	})
	if err != nil || stored != len(ids) {
		t.Fatalf("stored %d, %v", stored, err)
	}
	if n := trips.Swap(0); n != 2 {
		t.Errorf("warming %d keys took %d round trips, want one for the leases and one for the values", len(ids), n)
	}
	found, err := profiles.GetMany(t.Context(), ids)
	if err != nil || len(found) != len(ids) {
		t.Fatalf("found %d, %v", len(found), err)
	}
	if n := trips.Load(); n != 1 {
		t.Errorf("a batch get of %d took %d round trips, want 1", len(ids), n)
	}
	if n := c.Stats().Families["user_profile"].Lookups[Hit]; n != uint64(len(ids)) {
		t.Errorf("%d hits counted, want %d: warm-up is not a lookup, each key of a batch is", n, len(ids))
	}
}

func TestReservedKeyIsNotStoredAfterAnInvalidation(t *testing.T) {
	c, server := openEmbedded(t, Options{})
	profiles := For[profile](c, families.UserProfile)
	reserved, err := profiles.Reserve(t.Context(), []string{"user_1", "user_2"})
	if err != nil || len(reserved) != 2 {
		t.Fatalf("reserved %v, %v", reserved, err)
	}
	if again, err := profiles.Reserve(t.Context(), []string{"user_1"}); err != nil || len(again) != 0 {
		t.Errorf("a key was reserved twice: %v, %v", again, err)
	}
	if err := c.Delete(t.Context(), key(t, families.UserProfile, "user_1")); err != nil {
		t.Fatal(err)
	}
	stored, err := profiles.SetMany(t.Context(), []Item[profile]{
		{Reservation: reserved[0], Value: profile{Name: "old"}},
		{Reservation: reserved[1], Value: profile{Name: "fresh"}},
	})
	if err != nil || !slices.Equal(stored, []bool{false, true}) {
		t.Errorf("stored %v, %v; want false, true", stored, err)
	}
	if server.Exists("user:profile:user_1") {
		t.Error("the invalidated key holds a value")
	}
}

func TestBatchOverSeveralFamilies(t *testing.T) {
	c, _ := openEmbedded(t, Options{Budget: time.Minute, Freshness: -1})
	var trips roundTrips
	c.redis.AddHook(&trips)
	profiles, lists := For[profile](c, families.UserProfile), For[int](c, families.ConversationList)
	broken := errors.New("the lists cannot be read")
	ask := func(loadLists func(context.Context, []string) (map[string]int, error)) (*Values[profile], *Values[int]) {
		b := c.NewBatch()
		p, err := profiles.Ask(b, []string{"user_1", "user_2"}, func(_ context.Context, missing []string) (map[string]profile, error) {
			found := make(map[string]profile)
			for _, id := range missing {
				found[id] = profile{Name: id}
			}
			return found, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		l, err := lists.Ask(b, []string{"user_1"}, loadLists)
		if err != nil {
			t.Fatal(err)
		}
		b.Do(t.Context())
		return p, l
	}
	// One family fails: the other is there, and kept.
	p, l := ask(func(context.Context, []string) (map[string]int, error) { return nil, broken })
	if p.Err() != nil || len(p.Found()) != 2 || !errors.Is(l.Err(), broken) {
		t.Errorf("profiles %v, %v; lists %v", p.Found(), p.Err(), l.Err())
	}
	p, l = ask(func(context.Context, []string) (map[string]int, error) { return map[string]int{"user_1": 7}, nil })
	if len(p.Found()) != 2 || l.Found()["user_1"] != 7 || l.Err() != nil {
		t.Errorf("profiles %v; lists %v, %v", p.Found(), l.Found(), l.Err())
	}
	trips.Store(0)
	if p, l = ask(nil); len(p.Found()) != 2 || l.Found()["user_1"] != 7 || trips.Load() != 1 {
		t.Errorf("profiles %v, lists %v in %d round trips, want all in one", p.Found(), l.Found(), trips.Load())
	}
	if s := c.Stats().Families; s["user_profile"].Lookups[Hit] != 4 || s["conversation_list"].Lookups[Hit] != 1 || s["conversation_list"].Lookups[Miss] != 2 {
		t.Errorf("lookups are %v and %v", s["user_profile"].Lookups, s["conversation_list"].Lookups)
	}
}
