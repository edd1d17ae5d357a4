package agent

import (
	"context"
	"fmt"

	"github.com/oglab/ogcache/internal/origin"
)

// Conversation returns one of the user's conversations with its messages.
// Another user's is origin.ErrNotFound: that it exists is not told.
func (a *Agent) Conversation(ctx context.Context, userID, id string) (origin.Conversation, error) {
	c, err := a.conversations.Fetch(ctx, id, func(ctx context.Context) (origin.Conversation, error) {
		return a.store.Conversation(ctx, id)
	})
	if err != nil {
		return origin.Conversation{}, err
	}
	if c.UserID != userID {
		return origin.Conversation{}, fmt.Errorf("conversation: %w", origin.ErrNotFound)
	}
	return c, nil
}

// Conversations returns the user's conversations, newest first.
func (a *Agent) Conversations(ctx context.Context, userID string) ([]origin.ConversationSummary, error) {
	return a.lists.Fetch(ctx, userID, func(ctx context.Context) ([]origin.ConversationSummary, error) {
		return a.store.Conversations(ctx, userID)
	})
}

// AddMessage adds a message of the user to one of their conversations.
func (a *Agent) AddMessage(ctx context.Context, userID, conversationID, text string) (origin.Message, error) {
	m, change, err := a.store.AddMessage(ctx, conversationID, userID, "user", text)
	if err != nil {
		return origin.Message{}, err
	}
	a.outdated(ctx, change)
	return m, nil
}
