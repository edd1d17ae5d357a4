package origin

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// now has the precision that PostgreSQL stores.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// newMessageID returns an id that nobody can guess.
func newMessageID() string { return "msg_" + rand.Text() }

// CreateProfile makes a profile for a user who has none.
func (m *Memory) CreateProfile(ctx context.Context, userID string) (families.Change, error) {
	if err := checkID("user id", userID); err != nil {
		return families.Change{}, err
	}
	if err := ctx.Err(); err != nil {
		return families.Change{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.users[userID]; !ok {
		m.users[userID] = newProfile(userID, now())
	}
	return userChange(userID), nil
}

// UpdateProfile changes a profile and returns it as it is then. It fails with
// ErrInvalid, ErrNotFound, or ErrConflict when another user has the Telegram id.
func (m *Memory) UpdateProfile(ctx context.Context, userID string, patch ProfilePatch) (Profile, families.Change, error) {
	if err := checkID("user id", userID); err != nil {
		return Profile{}, families.Change{}, err
	}
	if err := patch.Validate(); err != nil {
		return Profile{}, families.Change{}, err
	}
	if err := ctx.Err(); err != nil {
		return Profile{}, families.Change{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.users[userID]
	if !ok {
		return Profile{}, families.Change{}, fmt.Errorf("profile: %w", ErrNotFound)
	}
	p := old
	set := func(field *string, value *string) {
		if value != nil {
			*field = *value
		}
	}
	set(&p.TelegramID, patch.TelegramID)
	set(&p.Name, patch.Name)
	set(&p.Language, patch.Language)
	set(&p.Bio, patch.Bio)
	if owner, taken := m.telegrams[p.TelegramID]; taken && owner != userID {
		return Profile{}, families.Change{}, fmt.Errorf("telegram id of another user: %w", ErrConflict)
	}
	p.UpdatedAt = now()
	delete(m.telegrams, old.TelegramID)
	if p.TelegramID != "" {
		m.telegrams[p.TelegramID] = userID
	}
	m.users[userID] = p
	return p, userChange(userID, old.TelegramID, p.TelegramID), nil
}

// AddMessage adds a message to a user's conversation. It fails with ErrInvalid,
// or with ErrNotFound when the user has no such conversation.
func (m *Memory) AddMessage(ctx context.Context, conversationID, userID, role, text string) (Message, families.Change, error) {
	if err := checkNewMessage(conversationID, userID, role, text); err != nil {
		return Message{}, families.Change{}, err
	}
	if err := ctx.Err(); err != nil {
		return Message{}, families.Change{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.conversations[conversationID]
	if c == nil || c.UserID != userID {
		return Message{}, families.Change{}, fmt.Errorf("conversation: %w", ErrNotFound)
	}
	at := now()
	// Every message of a conversation is later than the one before.
	if !at.After(c.UpdatedAt) {
		at = c.UpdatedAt.Add(time.Microsecond)
	}
	message := Message{ID: newMessageID(), Role: role, Text: text, CreatedAt: at}
	c.Messages = append(c.Messages, message)
	if extra := len(c.Messages) - MaxMessages; extra > 0 {
		c.Messages = slices.Delete(c.Messages, 0, extra)
	}
	c.count++
	c.UpdatedAt = at
	return message, conversationChange(conversationID, userID), nil
}
