package agent_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/origin"
)

// counted counts how often the origin is asked for sessions and profiles.
type counted struct {
	*origin.Memory
	sessions, profiles atomic.Int64
}

func (c *counted) Session(ctx context.Context, token string) (origin.Session, error) {
	c.sessions.Add(1)
	return c.Memory.Session(ctx, token)
}

func (c *counted) Profile(ctx context.Context, userID string) (origin.Profile, error) {
	c.profiles.Add(1)
	return c.Memory.Profile(ctx, userID)
}

type fixture struct {
	*agent.Agent
	store *counted
	redis *miniredis.Miniredis
	users []origin.Identity
}

func open(t *testing.T) fixture {
	t.Helper()
	server := miniredis.RunT(t)
	client, err := instrumented.NewRedis(instrumented.RedisOptions{Addrs: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := instrumented.New(instrumented.Options{Redis: client, Budget: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cache.Close()
		client.Close()
	})
	store := &counted{Memory: origin.NewMemory(origin.Population{Users: 20, Seed: 1})}
	return fixture{
		Agent: agent.New(cache, store, store, agent.Options{WarmUsers: 10}),
		store: store, redis: server, users: store.Identities(),
	}
}

// readAll reads everything that is cached about a user.
func (f fixture) readAll(t *testing.T, u origin.Identity) (origin.Profile, origin.Profile, origin.Conversation, []origin.ConversationSummary, agent.AgentContext) {
	t.Helper()
	ctx := t.Context()
	p, err1 := f.Profile(ctx, u.UserID)
	byTelegram, err2 := f.ProfileByTelegram(ctx, u.TelegramID)
	c, err3 := f.Conversation(ctx, u.UserID, u.Conversations[0])
	list, err4 := f.Conversations(ctx, u.UserID)
	told, err5 := f.Context(ctx, u.UserID)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	return p, byTelegram, c, list, told
}

func TestUpdatedProfileIsSeenEverywhere(t *testing.T) {
	f := open(t)
	u := f.users[0]
	f.readAll(t, u)
	name := "Renamed"
	if _, err := f.UpdateProfile(t.Context(), u.UserID, origin.ProfilePatch{Name: &name}); err != nil {
		t.Fatal(err)
	}
	p, byTelegram, _, _, told := f.readAll(t, u)
	if p.Name != name || byTelegram.Name != name || told.Name != name {
		t.Errorf("after renaming: profile %q, by Telegram %q, context %q", p.Name, byTelegram.Name, told.Name)
	}
}

func TestMovedTelegramIDLeavesNoOldEntry(t *testing.T) {
	f := open(t)
	u := f.users[0]
	f.readAll(t, u)
	moved := "999000111"
	if _, err := f.UpdateProfile(t.Context(), u.UserID, origin.ProfilePatch{TelegramID: &moved}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ProfileByTelegram(t.Context(), u.TelegramID); !errors.Is(err, origin.ErrNotFound) {
		t.Errorf("under the old Telegram id: %v, want ErrNotFound", err)
	}
	if p, err := f.ProfileByTelegram(t.Context(), moved); err != nil || p.UserID != u.UserID {
		t.Errorf("under the new Telegram id: %+v, %v", p, err)
	}
}

func TestAddedMessageIsSeenEverywhere(t *testing.T) {
	f := open(t)
	u := f.users[0]
	_, _, before, list, _ := f.readAll(t, u)
	if _, err := f.AddMessage(t.Context(), u.UserID, u.Conversations[0], "Hello again"); err != nil {
		t.Fatal(err)
	}
	_, _, after, newList, told := f.readAll(t, u)
	if len(after.Messages) != len(before.Messages)+1 {
		t.Errorf("the conversation has %d messages, want %d", len(after.Messages), len(before.Messages)+1)
	}
	if newList[0].ID != u.Conversations[0] || newList[0].MessageCount != len(after.Messages) {
		t.Errorf("the list starts with %+v, want the conversation just written to (was %+v)", newList[0], list[0])
	}
	if told.Conversations[0].ID != u.Conversations[0] {
		t.Errorf("the context starts with %q", told.Conversations[0].ID)
	}
}

func TestTokensWithACommonStartNeverShareASession(t *testing.T) {
	f := open(t)
	a, b := f.users[0], f.users[1]
	if a.Token[:50] != b.Token[:50] {
		t.Fatalf("the tokens differ within 50 characters, so this test shows nothing")
	}
	for range 2 { // cold, then cached
		for _, u := range []origin.Identity{a, b} {
			s, err := f.Session(t.Context(), u.Token)
			if err != nil || s.UserID != u.UserID {
				t.Errorf("the token of %s gave the session of %q, %v", u.UserID, s.UserID, err)
			}
		}
	}
	if n := f.store.sessions.Load(); n != 2 {
		t.Errorf("the auth service was asked %d times, want once for each token", n)
	}
}

func TestLogoutEndsTheCachedSession(t *testing.T) {
	f := open(t)
	u := f.users[0]
	if _, err := f.Session(t.Context(), u.Token); err != nil {
		t.Fatal(err)
	}
	if err := f.Logout(t.Context(), u.Token); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Session(t.Context(), u.Token); !errors.Is(err, origin.ErrUnauthorized) {
		t.Errorf("after the logout: %v, want ErrUnauthorized", err)
	}
}

func TestMalformedTokenAsksNobody(t *testing.T) {
	f := open(t)
	commands := f.redis.CommandCount()
	for _, token := range []string{"", "x", "a.b.c", f.users[0].Token[:50]} {
		if _, err := f.Session(t.Context(), token); !errors.Is(err, origin.ErrUnauthorized) {
			t.Errorf("token %.5q…: %v, want ErrUnauthorized", token, err)
		}
	}
	if n := f.store.sessions.Load(); n != 0 {
		t.Errorf("the auth service was asked %d times", n)
	}
	if len(f.redis.Keys()) != 0 {
		t.Errorf("keys were made: %v (%d commands)", f.redis.Keys(), f.redis.CommandCount()-commands)
	}
}

func TestAnothersConversationIsNotFound(t *testing.T) {
	f := open(t)
	theirs := f.users[1].Conversations[0]
	if _, err := f.Conversation(t.Context(), f.users[1].UserID, theirs); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Conversation(t.Context(), f.users[0].UserID, theirs); !errors.Is(err, origin.ErrNotFound) {
		t.Errorf("another's cached conversation: %v, want ErrNotFound", err)
	}
	if _, err := f.AddMessage(t.Context(), f.users[0].UserID, theirs, "hi"); !errors.Is(err, origin.ErrNotFound) {
		t.Errorf("writing to another's conversation: %v, want ErrNotFound", err)
	}
}

func TestMissingProfileIsCreated(t *testing.T) {
	f := open(t)
	for range 2 {
		if p, err := f.Profile(t.Context(), "newcomer"); err != nil || p.UserID != "newcomer" {
			t.Fatalf("got %+v, %v", p, err)
		}
	}
	if n := f.store.profiles.Load(); n != 2 {
		t.Errorf("the origin was asked %d times, want twice: before and after creating it", n)
	}
}

func TestWarmupMakesReadersHit(t *testing.T) {
	f := open(t)
	var last, total int
	result, err := f.Warmup(t.Context(), agent.WarmupAll, func(d, all int) { last, total = d, all })
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + 2*10; result.Loaded != want || last != want || total != want {
		t.Errorf("loaded %d, progress %d of %d, want %d", result.Loaded, last, total, want)
	}
	again, err := f.Warmup(t.Context(), agent.WarmupAll, nil)
	if err != nil || again.Loaded != 0 || again.Present != result.Loaded {
		t.Errorf("a second warm-up: %+v, %v", again, err)
	}
	recent, err := f.store.RecentUsers(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	asked := f.store.profiles.Load()
	for _, id := range recent {
		if _, err := f.Profile(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.store.profiles.Load(); n != asked {
		t.Errorf("after the warm-up the origin was asked for %d profiles", n-asked)
	}
}

func TestWarmupWithoutRedisSaysSo(t *testing.T) {
	cache, err := instrumented.New(instrumented.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	store := origin.NewMemory(origin.Population{Users: 1})
	_, err = agent.New(cache, store, store, agent.Options{}).Warmup(t.Context(), agent.WarmupAll, nil)
	if !errors.Is(err, agent.ErrCacheUnavailable) {
		t.Errorf("got %v, want ErrCacheUnavailable", err)
	}
}
