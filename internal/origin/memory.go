package origin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// Memory is an origin in the process's own memory, for the demo and for tests.
// It is safe for concurrent use; what it returns is the caller's own.
type Memory struct {
	identities []Identity
	menu       []MenuItem

	mu            sync.RWMutex
	users         map[string]Profile
	telegrams     map[string]string // Telegram id to user id
	conversations map[string]*memoryConversation
	owned         map[string][]string       // user id to conversation ids
	sessions      map[string]*memorySession // by token digest
}

type memoryConversation struct {
	Conversation     // with its latest MaxMessages messages
	count        int // of all its messages
}

type memorySession struct {
	Session
	revoked bool
}

// NewMemory returns an origin that holds a population, each user with one
// access token. A population without users leaves only the menu.
func NewMemory(p Population) *Memory {
	m := &Memory{
		menu:          populationMenu(),
		users:         map[string]Profile{},
		telegrams:     map[string]string{},
		conversations: map[string]*memoryConversation{},
		owned:         map[string][]string{},
		sessions:      map[string]*memorySession{},
	}
	tokens := issuer{secret: newSecret(), issuedAt: time.Now().Truncate(time.Second).UTC()}
	for n := 1; n <= p.Users; n++ {
		m.settle(p.person(n), tokens)
	}
	return m
}

func (m *Memory) settle(who person, tokens issuer) {
	profile := who.profile
	id := Identity{UserID: profile.UserID, TelegramID: profile.TelegramID}
	m.users[profile.UserID] = profile
	m.telegrams[profile.TelegramID] = profile.UserID
	for _, c := range who.conversations {
		m.conversations[c.ID] = &memoryConversation{Conversation: c, count: len(c.Messages)}
		id.Conversations = append(id.Conversations, c.ID)
	}
	m.owned[profile.UserID] = id.Conversations
	// Signing fails for a key of the wrong type only, and the user then has no token.
	if token, err := tokens.token(profile.UserID, 1); err == nil {
		id.Token = token
		m.sessions[families.TokenDigest(token)] = &memorySession{
			Session: Session{UserID: profile.UserID, ExpiresAt: tokens.expiresAt()},
		}
	}
	m.identities = append(m.identities, id)
}

// Identities returns the population's users, in order, each with an access
// token, as they were at the start.
func (m *Memory) Identities() []Identity {
	ids := slices.Clone(m.identities)
	for i := range ids {
		ids[i].Conversations = slices.Clone(ids[i].Conversations)
	}
	return ids
}

// Ping always succeeds.
func (m *Memory) Ping(ctx context.Context) error { return ctx.Err() }

// Session returns who is behind an access token, or ErrUnauthorized.
func (m *Memory) Session(ctx context.Context, token string) (Session, error) {
	now := time.Now()
	if _, _, err := ParseToken(token, now); err != nil {
		return Session{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := m.sessions[families.TokenDigest(token)]
	if s == nil || s.revoked || !s.ExpiresAt.After(now) {
		return Session{}, fmt.Errorf("session: %w", ErrUnauthorized)
	}
	return s.Session, ctx.Err()
}

// Revoke ends a token's session. Doing it again is no error; a token that was
// never valid is ErrUnauthorized.
func (m *Memory) Revoke(ctx context.Context, token string) error {
	if _, _, err := ParseToken(token, time.Now()); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions[families.TokenDigest(token)]
	if s == nil {
		return fmt.Errorf("session: %w", ErrUnauthorized)
	}
	s.revoked = true
	return ctx.Err()
}

// Profile returns a user's profile, or ErrNotFound.
func (m *Memory) Profile(ctx context.Context, userID string) (Profile, error) {
	if err := checkID("user id", userID); err != nil {
		return Profile{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	p, ok := m.users[userID]
	if !ok {
		return Profile{}, fmt.Errorf("profile: %w", ErrNotFound)
	}
	return p, ctx.Err()
}

// Profiles returns the profiles of those users who have one.
func (m *Memory) Profiles(ctx context.Context, userIDs []string) (map[string]Profile, error) {
	if err := checkIDs("user id", userIDs); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	found := make(map[string]Profile, len(userIDs))
	for _, id := range userIDs {
		if p, ok := m.users[id]; ok {
			found[id] = p
		}
	}
	return found, ctx.Err()
}

// ProfileByTelegram returns the profile that has a Telegram id, or ErrNotFound.
func (m *Memory) ProfileByTelegram(ctx context.Context, telegramID string) (Profile, error) {
	if err := checkID("telegram id", telegramID); err != nil {
		return Profile{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	userID, ok := m.telegrams[telegramID]
	if !ok {
		return Profile{}, fmt.Errorf("telegram profile: %w", ErrNotFound)
	}
	return m.users[userID], ctx.Err()
}

// Conversation returns a conversation with its messages, or ErrNotFound.
func (m *Memory) Conversation(ctx context.Context, id string) (Conversation, error) {
	if err := checkID("conversation id", id); err != nil {
		return Conversation{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	stored := m.conversations[id]
	if stored == nil {
		return Conversation{}, fmt.Errorf("conversation: %w", ErrNotFound)
	}
	c := stored.Conversation
	c.Messages = slices.Clone(c.Messages)
	return c, ctx.Err()
}

// Conversations returns a user's conversations, newest first.
func (m *Memory) Conversations(ctx context.Context, userID string) ([]ConversationSummary, error) {
	lists, err := m.ConversationLists(ctx, []string{userID})
	return lists[userID], err
}

// ConversationLists returns the conversations of each of the users, newest
// first, with an empty list for those who have none.
func (m *Memory) ConversationLists(ctx context.Context, userIDs []string) (map[string][]ConversationSummary, error) {
	if err := checkIDs("user id", userIDs); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	lists := make(map[string][]ConversationSummary, len(userIDs))
	for _, userID := range userIDs {
		list := make([]ConversationSummary, 0, len(m.owned[userID]))
		for _, id := range m.owned[userID] {
			c := m.conversations[id]
			list = append(list, ConversationSummary{ID: id, Title: c.Title, MessageCount: c.count, UpdatedAt: c.UpdatedAt})
		}
		slices.SortFunc(list, func(a, b ConversationSummary) int {
			if order := b.UpdatedAt.Compare(a.UpdatedAt); order != 0 {
				return order
			}
			return strings.Compare(a.ID, b.ID)
		})
		lists[userID] = list
	}
	return lists, ctx.Err()
}

// Menu returns the menu in its order.
func (m *Memory) Menu(ctx context.Context) ([]MenuItem, error) {
	return slices.Clone(m.menu), ctx.Err()
}

// RecentUsers returns at most n users, the most recently active first: those
// who last wrote a message or changed their profile.
func (m *Memory) RecentUsers(ctx context.Context, n int) ([]string, error) {
	if n < 0 {
		return nil, fmt.Errorf("%w: cannot list %d users", ErrInvalid, n)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	active := make(map[string]time.Time, len(m.users))
	ids := make([]string, 0, len(m.users))
	for id, p := range m.users {
		ids = append(ids, id)
		active[id] = p.UpdatedAt
		for _, c := range m.owned[id] {
			if at := m.conversations[c].UpdatedAt; at.After(active[id]) {
				active[id] = at
			}
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		if order := active[b].Compare(active[a]); order != 0 {
			return order
		}
		return strings.Compare(a, b)
	})
	return ids[:min(n, len(ids))], ctx.Err()
}
