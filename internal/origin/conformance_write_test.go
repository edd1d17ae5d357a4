package origin

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

func testCreateProfile(c conformance) {
	ctx := c.Context()
	for i := range 2 {
		change, err := c.CreateProfile(ctx, "new@user")
		c.ok(err)
		c.recorded(&change, i == 0)
		c.equal(change, families.Change{Entity: families.User, UserIDs: []string{"new@user"}})
	}
	p, err := c.Profile(ctx, "new@user")
	c.ok(err)
	c.equal(p, Profile{UserID: "new@user", Name: "new@user", Language: "en", UpdatedAt: p.UpdatedAt})
	if age := time.Since(p.UpdatedAt); age < -time.Minute || age > time.Minute {
		c.Errorf("made %v ago", age)
	}
	list, err := c.Conversations(ctx, "new@user")
	c.ok(err)
	c.equal(list, []ConversationSummary{})

	old := c.people[0].profile
	_, err = c.CreateProfile(ctx, old.UserID)
	c.ok(err)
	p, err = c.Profile(ctx, old.UserID)
	c.ok(err)
	c.equal(p, old)
}

func testUpdateProfile(c conformance) {
	ctx := c.Context()
	old := c.people[0].profile
	name, bio, language := "Zoë \"O'Neil\" — 日本", "", "pt-BR"
	p, change, err := c.UpdateProfile(ctx, old.UserID, ProfilePatch{Name: &name, Bio: &bio, Language: &language})
	c.ok(err)
	want := old
	want.Name, want.Bio, want.Language, want.UpdatedAt = name, bio, language, p.UpdatedAt
	c.equal(p, want)
	if !p.UpdatedAt.After(old.UpdatedAt) {
		c.Error("updatedAt did not move")
	}
	c.recorded(&change, true)
	// The look-up by the Telegram id shows this profile too.
	c.equal(change, families.Change{Entity: families.User, UserIDs: []string{old.UserID}, TelegramIDs: []string{old.TelegramID}})
	stored, err := c.Profile(ctx, old.UserID)
	c.ok(err)
	c.equal(stored, p)
	_, _, err = c.UpdateProfile(ctx, "nobody", ProfilePatch{Name: &name})
	c.is(err, ErrNotFound)
}

func testTelegramMoves(c conformance) {
	ctx := c.Context()
	a, b := c.people[0].profile, c.people[1].profile
	_, _, err := c.UpdateProfile(ctx, a.UserID, ProfilePatch{TelegramID: &b.TelegramID})
	c.is(err, ErrConflict)
	if strings.Contains(err.Error(), b.TelegramID) {
		c.Error("the error shows the id")
	}
	p, err := c.Profile(ctx, a.UserID)
	c.ok(err)
	c.equal(p, a)

	fresh, none := "777", ""
	p, change, err := c.UpdateProfile(ctx, a.UserID, ProfilePatch{TelegramID: &fresh})
	c.ok(err)
	c.equal(p.TelegramID, fresh)
	c.equal(change.TelegramIDs, []string{a.TelegramID, fresh})
	_, err = c.ProfileByTelegram(ctx, a.TelegramID)
	c.is(err, ErrNotFound)

	// What one gave up, another may take; none is no id that two could share.
	_, change, err = c.UpdateProfile(ctx, b.UserID, ProfilePatch{TelegramID: &a.TelegramID})
	c.ok(err)
	c.equal(change.TelegramIDs, []string{b.TelegramID, a.TelegramID})
	for _, id := range []string{a.UserID, b.UserID} {
		p, change, err = c.UpdateProfile(ctx, id, ProfilePatch{TelegramID: &none})
		c.ok(err)
		c.equal(p.TelegramID, "")
		c.equal(len(change.TelegramIDs), 1)
	}
	_, err = c.ProfileByTelegram(ctx, fresh)
	c.is(err, ErrNotFound)
	_, change, err = c.UpdateProfile(ctx, a.UserID, ProfilePatch{TelegramID: &fresh})
	c.ok(err)
	c.equal(change.TelegramIDs, []string{fresh})
}

func testConcurrentUpdates(c conformance) {
	ctx := c.Context()
	user := c.people[0].profile
	const writers, each = 8, 10
	var mu sync.Mutex
	replaced := map[string]int{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("t%d-%d", w, i)
				_, change, err := c.UpdateProfile(ctx, user.UserID, ProfilePatch{TelegramID: &id})
				if err != nil {
					c.Error(err)
					return
				}
				mu.Lock()
				replaced[change.TelegramIDs[0]]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	c.equal(len(replaced), writers*each)
	if replaced[user.TelegramID] != 1 {
		c.Error("nobody replaced the first id")
	}
}

func testAddMessage(c conformance) {
	ctx := c.Context()
	before := c.people[0].conversations[0]
	text := "What's \"new\"? \\ 🥗\nline two"
	m, change, err := c.AddMessage(ctx, before.ID, before.UserID, "user", text)
	c.ok(err)
	c.equal(m, Message{ID: m.ID, Role: "user", Text: text, CreatedAt: m.CreatedAt})
	c.ok(families.CheckID(m.ID))
	c.recorded(&change, true)
	c.equal(change, families.Change{Entity: families.Conversation,
		UserIDs: []string{before.UserID}, ConversationIDs: []string{before.ID}})
	after, err := c.Conversation(ctx, before.ID)
	c.ok(err)
	c.equal(after.Messages, append(slices.Clone(before.Messages), m))
	c.equal(after.UpdatedAt, m.CreatedAt)
	list, err := c.Conversations(ctx, before.UserID)
	c.ok(err)
	c.equal(list[0], ConversationSummary{before.ID, before.Title, len(before.Messages) + 1, m.CreatedAt})

	for _, strange := range []struct{ conversation, user string }{
		{before.ID, c.people[1].profile.UserID}, {before.ID, "nobody"}, {"nothing", before.UserID},
	} {
		_, change, err := c.AddMessage(ctx, strange.conversation, strange.user, "user", "mine")
		c.is(err, ErrNotFound)
		c.equal(change, families.Change{})
	}
	unchanged, err := c.Conversation(ctx, before.ID)
	c.ok(err)
	c.equal(unchanged, after)
}

func testLongConversation(c conformance) {
	ctx := c.Context()
	conversation := c.people[0].conversations[0]
	for i := range MaxMessages {
		_, _, err := c.AddMessage(ctx, conversation.ID, conversation.UserID, "assistant", fmt.Sprint("answer ", i))
		c.ok(err)
	}
	got, err := c.Conversation(ctx, conversation.ID)
	c.ok(err)
	c.equal(len(got.Messages), MaxMessages)
	for i, m := range got.Messages {
		c.equal(m.Text, fmt.Sprint("answer ", i))
	}
	list, err := c.Conversations(ctx, conversation.UserID)
	c.ok(err)
	c.equal(list[0].MessageCount, len(conversation.Messages)+MaxMessages)
}

func testConcurrentMessages(c conformance) {
	ctx := c.Context()
	conversation := c.people[0].conversations[0]
	const writers, each = 8, 5
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if _, _, err := c.AddMessage(ctx, conversation.ID, conversation.UserID, "user", "hello"); err != nil {
					c.Error(err)
				}
				if _, err := c.Conversation(ctx, conversation.ID); err != nil {
					c.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := c.Conversation(ctx, conversation.ID)
	c.ok(err)
	c.equal(len(got.Messages), len(conversation.Messages)+writers*each)
	for i, m := range got.Messages[1:] {
		if !m.CreatedAt.After(got.Messages[i].CreatedAt) {
			c.Fatalf("message %d is not later than the one before", i+1)
		}
	}
	c.equal(got.UpdatedAt, got.Messages[len(got.Messages)-1].CreatedAt)
}
