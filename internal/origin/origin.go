// Package origin is where the truth lives: users, conversations, the menu and
// sessions, in PostgreSQL, in Supabase's auth service, or in memory for the
// demo. It knows nothing of any cache.
package origin

import (
	"errors"
	"time"
)

// Errors that callers branch on.
var (
	// ErrNotFound: no such row.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized: the token is unknown, expired or revoked.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrConflict: the write would break a uniqueness rule.
	ErrConflict = errors.New("conflict")
	// ErrInvalid: the caller's input cannot be accepted; the error says why and
	// never repeats the input.
	ErrInvalid = errors.New("invalid input")
)

// Session is who is behind an access token, and until when.
type Session struct {
	UserID    string    `json:"userId"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// Profile is what a user is known by.
type Profile struct {
	UserID     string    `json:"userId"`
	TelegramID string    `json:"telegramId,omitempty"`
	Name       string    `json:"name"`
	Language   string    `json:"language"`
	Bio        string    `json:"bio,omitempty"`
	UpdatedAt  time.Time `json:"updatedAt"`
}

// ProfilePatch changes the fields that are not nil. An empty TelegramID or Bio
// removes it.
type ProfilePatch struct {
	TelegramID *string `json:"telegramId"`
	Name       *string `json:"name"`
	Language   *string `json:"language"`
	Bio        *string `json:"bio"`
}

// MaxMessages is how many messages a Conversation holds at most: the latest.
const MaxMessages = 200

// Conversation is a conversation with its latest MaxMessages messages, oldest
// first.
type Conversation struct {
	ID        string    `json:"id"`
	UserID    string    `json:"userId"`
	Title     string    `json:"title"`
	Messages  []Message `json:"messages"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// Message is one turn of a conversation.
type Message struct {
	ID        string    `json:"id"`
	Role      string    `json:"role"` // "user" or "assistant"
	Text      string    `json:"text"`
	CreatedAt time.Time `json:"createdAt"`
}

// ConversationSummary is a conversation as a list shows it. MessageCount is of
// all its messages.
type ConversationSummary struct {
	ID           string    `json:"id"`
	Title        string    `json:"title"`
	MessageCount int       `json:"messageCount"`
	UpdatedAt    time.Time `json:"updatedAt"`
}

// MenuItem is one line of the menu, the same for everyone.
type MenuItem struct {
	ID          string `json:"id"`
	Category    string `json:"category"`
	Name        string `json:"name"`
	Description string `json:"description"`
	PriceCents  int    `json:"priceCents"`
}

// Identity is a seeded user as the load generator needs it.
type Identity struct {
	UserID        string   `json:"userId"`
	TelegramID    string   `json:"telegramId"`
	Conversations []string `json:"conversations"`
	Token         string   `json:"token"`
}
