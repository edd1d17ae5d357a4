package origin

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// subject is what every origin has to do alike.
type subject interface {
	Session(ctx context.Context, token string) (Session, error)
	Revoke(ctx context.Context, token string) error
	Profile(ctx context.Context, userID string) (Profile, error)
	Profiles(ctx context.Context, userIDs []string) (map[string]Profile, error)
	ProfileByTelegram(ctx context.Context, telegramID string) (Profile, error)
	CreateProfile(ctx context.Context, userID string) (families.Change, error)
	UpdateProfile(ctx context.Context, userID string, p ProfilePatch) (Profile, families.Change, error)
	Conversation(ctx context.Context, id string) (Conversation, error)
	Conversations(ctx context.Context, userID string) ([]ConversationSummary, error)
	ConversationLists(ctx context.Context, userIDs []string) (map[string][]ConversationSummary, error)
	AddMessage(ctx context.Context, conversationID, userID, role, text string) (Message, families.Change, error)
	Menu(ctx context.Context) ([]MenuItem, error)
	RecentUsers(ctx context.Context, n int) ([]string, error)
	Ping(ctx context.Context) error
}

var (
	_ subject = (*Memory)(nil)
	_ subject = (*Postgres)(nil)
)

// conformance is an origin with a population of five.
type conformance struct {
	*testing.T
	subject
	people     []person
	identities []Identity
	expire     func(token string) // ends a session by its age
	outbox     bool               // changes are recorded
}

func TestConformance(t *testing.T) {
	population := Population{Users: 5, Seed: 7}
	var people []person
	for n := 1; n <= population.Users; n++ {
		people = append(people, population.person(n))
	}
	origins := map[string]func(*testing.T) conformance{
		"memory": func(t *testing.T) conformance {
			m := NewMemory(population)
			return conformance{t, m, people, m.Identities(), func(token string) {
				m.mu.Lock()
				defer m.mu.Unlock()
				m.sessions[families.TokenDigest(token)].ExpiresAt = time.Now().Add(-time.Second)
			}, false}
		},
		"postgres":  func(t *testing.T) conformance { return seededPostgres(t, migratedPostgres(t), population, people) },
		"pgbouncer": func(t *testing.T) conformance { return seededPostgres(t, pooledPostgres(t), population, people) },
	}
	cases := map[string]func(conformance){
		"session":                  testSession,
		"session ends":             testSessionEnds,
		"profiles":                 testProfiles,
		"create profile":           testCreateProfile,
		"update profile":           testUpdateProfile,
		"telegram id moves":        testTelegramMoves,
		"concurrent updates":       testConcurrentUpdates,
		"conversations":            testConversations,
		"add message":              testAddMessage,
		"long conversation":        testLongConversation,
		"concurrent messages":      testConcurrentMessages,
		"menu":                     testMenu,
		"recent users":             testRecentUsers,
		"invalid input":            testInvalidInput,
		"cancelled":                testCancelled,
		"values are the caller's":  testValuesAreCopies,
		"identities are as seeded": testIdentities,
	}
	for name, open := range origins {
		t.Run(name, func(t *testing.T) {
			for name, run := range cases {
				t.Run(name, func(t *testing.T) { run(open(t)) })
			}
		})
	}
}

func seededPostgres(t *testing.T, p *Postgres, population Population, people []person) conformance {
	t.Helper()
	ids, err := p.Seed(t.Context(), population, nil)
	if err != nil {
		t.Fatal(err)
	}
	return conformance{t, p, people, ids, func(token string) {
		mustExec(t, p, "update ogcache.sessions set expires_at = now() - interval '1 second' where token_digest = $1",
			families.TokenDigest(token))
	}, true}
}

// recorded checks whether a change names its transaction, and forgets it.
func (c conformance) recorded(change *families.Change, want bool) {
	c.Helper()
	c.equal(change.Transaction != 0, want && c.outbox)
	change.Transaction = 0
}

func (c conformance) ok(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c conformance) is(err, want error) {
	c.Helper()
	if !errors.Is(err, want) {
		c.Fatalf("error is %v, want %v", err, want)
	}
}

func (c conformance) equal(got, want any) {
	c.Helper()
	if !reflect.DeepEqual(got, want) {
		c.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

func testSession(c conformance) {
	ctx := c.Context()
	for _, id := range c.identities {
		s, err := c.Session(ctx, id.Token)
		c.ok(err)
		c.equal(s.UserID, id.UserID)
		_, claimed, err := ParseToken(id.Token, time.Now())
		c.ok(err)
		c.equal(s.ExpiresAt, claimed)
	}
	c.ok(c.Ping(ctx))

	strange, err := issuer{secret: newSecret(), issuedAt: time.Now().Truncate(time.Second)}.token(c.identities[0].UserID, 1)
	c.ok(err)
	for _, token := range []string{"", "x", strange, c.identities[0].Token + "x", c.identities[0].Token[:60]} {
		_, err := c.Session(ctx, token)
		c.is(err, ErrUnauthorized)
		c.is(c.Revoke(ctx, token), ErrUnauthorized)
	}
}

func testSessionEnds(c conformance) {
	ctx := c.Context()
	revoked, expired, other := c.identities[0].Token, c.identities[1].Token, c.identities[2].Token
	c.ok(c.Revoke(ctx, revoked))
	c.ok(c.Revoke(ctx, revoked))
	c.expire(expired)
	for _, token := range []string{revoked, expired} {
		_, err := c.Session(ctx, token)
		c.is(err, ErrUnauthorized)
		if strings.Contains(err.Error(), token) {
			c.Error("the error shows the token")
		}
	}
	_, err := c.Session(ctx, other)
	c.ok(err)
}

func testProfiles(c conformance) {
	ctx := c.Context()
	want := map[string]Profile{}
	ids := []string{"nobody"}
	for _, who := range c.people {
		p, err := c.Profile(ctx, who.profile.UserID)
		c.ok(err)
		c.equal(p, who.profile)
		p, err = c.ProfileByTelegram(ctx, who.profile.TelegramID)
		c.ok(err)
		c.equal(p, who.profile)
		want[p.UserID] = p
		ids = append(ids, p.UserID, p.UserID)
	}
	all, err := c.Profiles(ctx, ids)
	c.ok(err)
	c.equal(all, want)
	none, err := c.Profiles(ctx, nil)
	c.ok(err)
	c.equal(len(none), 0)
	_, err = c.Profile(ctx, "nobody")
	c.is(err, ErrNotFound)
	_, err = c.ProfileByTelegram(ctx, "nobody")
	c.is(err, ErrNotFound)
}

// testConcurrentUpdates checks that each update names the very id that it
// replaced: then all the old ids are different.
func testConversations(c conformance) {
	ctx := c.Context()
	var users []string
	want := map[string][]ConversationSummary{"nobody": {}}
	for _, who := range c.people {
		var list []ConversationSummary
		for _, conversation := range who.conversations {
			got, err := c.Conversation(ctx, conversation.ID)
			c.ok(err)
			c.equal(got, conversation)
			list = append(list, ConversationSummary{conversation.ID, conversation.Title, len(conversation.Messages), conversation.UpdatedAt})
		}
		slices.SortFunc(list, func(a, b ConversationSummary) int { return b.UpdatedAt.Compare(a.UpdatedAt) })
		got, err := c.Conversations(ctx, who.profile.UserID)
		c.ok(err)
		c.equal(got, list)
		users = append(users, who.profile.UserID)
		want[who.profile.UserID] = list
	}
	lists, err := c.ConversationLists(ctx, append(users, "nobody"))
	c.ok(err)
	c.equal(lists, want)
	empty, err := c.Conversations(ctx, "nobody")
	c.ok(err)
	c.equal(empty, []ConversationSummary{})
	_, err = c.Conversation(ctx, "nothing")
	c.is(err, ErrNotFound)
}

func testMenu(c conformance) {
	items, err := c.Menu(c.Context())
	c.ok(err)
	c.equal(items, populationMenu())
}

func testRecentUsers(c conformance) {
	ctx := c.Context()
	all, err := c.RecentUsers(ctx, 100)
	c.ok(err)
	c.equal(len(all), len(c.people))
	last, second := all[len(all)-1], all[len(all)-2]
	bio := "I was here."
	_, _, err = c.UpdateProfile(ctx, last, ProfilePatch{Bio: &bio})
	c.ok(err)
	for _, who := range c.people {
		if who.profile.UserID == second {
			_, _, err = c.AddMessage(ctx, who.conversations[0].ID, second, "user", "me too")
			c.ok(err)
		}
	}
	two, err := c.RecentUsers(ctx, 2)
	c.ok(err)
	c.equal(two, []string{second, last})
	none, err := c.RecentUsers(ctx, 0)
	c.ok(err)
	c.equal(len(none), 0)
	_, err = c.RecentUsers(ctx, -1)
	c.is(err, ErrInvalid)
}

func testInvalidInput(c conformance) {
	ctx := c.Context()
	user, conversation := c.people[0].profile.UserID, c.people[0].conversations[0].ID
	name := "x"
	const bad = "no\x00id"
	calls := map[string]func() error{
		"profile":                  func() error { _, err := c.Profile(ctx, bad); return err },
		"profiles":                 func() error { _, err := c.Profiles(ctx, []string{user, bad}); return err },
		"telegram":                 func() error { _, err := c.ProfileByTelegram(ctx, bad); return err },
		"create":                   func() error { _, err := c.CreateProfile(ctx, bad); return err },
		"update":                   func() error { _, _, err := c.UpdateProfile(ctx, bad, ProfilePatch{Name: &name}); return err },
		"empty patch":              func() error { _, _, err := c.UpdateProfile(ctx, user, ProfilePatch{}); return err },
		"conversation":             func() error { _, err := c.Conversation(ctx, bad); return err },
		"conversations":            func() error { _, err := c.Conversations(ctx, bad); return err },
		"lists":                    func() error { _, err := c.ConversationLists(ctx, []string{bad}); return err },
		"message to a bad id":      func() error { _, _, err := c.AddMessage(ctx, bad, user, "user", "hi"); return err },
		"message of a bad id":      func() error { _, _, err := c.AddMessage(ctx, conversation, bad, "user", "hi"); return err },
		"message without text":     func() error { _, _, err := c.AddMessage(ctx, conversation, user, "user", " \n"); return err },
		"message of a strange one": func() error { _, _, err := c.AddMessage(ctx, conversation, user, "root", "hi"); return err },
		"message too long": func() error {
			_, _, err := c.AddMessage(ctx, conversation, user, "user", strings.Repeat("a", MaxMessageLen+1))
			return err
		},
	}
	for name, call := range calls {
		err := call()
		if !errors.Is(err, ErrInvalid) {
			c.Errorf("%s: error is %v, want ErrInvalid", name, err)
		} else if strings.Contains(err.Error(), bad) {
			c.Errorf("%s: the error repeats the input", name)
		}
	}
	_, _, err := c.AddMessage(ctx, conversation, user, "user", strings.Repeat("a", MaxMessageLen))
	c.ok(err)
}

func testCancelled(c conformance) {
	ctx, cancel := context.WithCancel(c.Context())
	cancel()
	user, conversation := c.people[0].profile.UserID, c.people[0].conversations[0]
	_, err := c.Profile(ctx, user)
	c.is(err, context.Canceled)
	_, err = c.Menu(ctx)
	c.is(err, context.Canceled)
	_, _, err = c.AddMessage(ctx, conversation.ID, user, "user", "never said")
	c.is(err, context.Canceled)
	got, err := c.Conversation(c.Context(), conversation.ID)
	c.ok(err)
	c.equal(got, conversation)
}

func testValuesAreCopies(c conformance) {
	ctx := c.Context()
	want := c.people[0].conversations[0]
	got, err := c.Conversation(ctx, want.ID)
	c.ok(err)
	got.Messages[0].Text = "changed"
	_ = append(got.Messages[:1], Message{Text: "changed"})
	got, err = c.Conversation(ctx, want.ID)
	c.ok(err)
	c.equal(got, want)

	items, err := c.Menu(ctx)
	c.ok(err)
	items[0].Name = "changed"
	items, err = c.Menu(ctx)
	c.ok(err)
	c.equal(items, populationMenu())

	list, err := c.Conversations(ctx, want.UserID)
	c.ok(err)
	title := list[0].Title
	list[0].Title = "changed"
	list, err = c.Conversations(ctx, want.UserID)
	c.ok(err)
	c.equal(list[0].Title, title)
}

func testIdentities(c conformance) {
	c.equal(len(c.identities), len(c.people))
	for i, who := range c.people {
		id := c.identities[i]
		var conversations []string
		for _, conversation := range who.conversations {
			conversations = append(conversations, conversation.ID)
		}
		c.equal(id, Identity{who.profile.UserID, who.profile.TelegramID, conversations, id.Token})
	}
}
