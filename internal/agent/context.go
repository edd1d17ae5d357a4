package agent

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/oglab/ogcache/internal/origin"
)

// AgentContext is what the agent is told about a user before it answers.
type AgentContext struct {
	UserID        string                       `json:"userId"`
	Name          string                       `json:"name"`
	Language      string                       `json:"language"`
	Bio           string                       `json:"bio,omitempty"`
	Conversations []origin.ConversationSummary `json:"conversations"` // the latest, newest first
}

// contextConversations is how many conversations the agent is told about.
const contextConversations = 5

// Context returns what the agent is told about a user.
func (a *Agent) Context(ctx context.Context, userID string) (AgentContext, error) {
	return a.contexts.Fetch(ctx, userID, func(ctx context.Context) (AgentContext, error) {
		return a.loadContext(ctx, userID)
	})
}

// loadContext reads from the store, not through the cache: a write drops the
// profile's key and the context's, and between the two the cache would still
// answer with the old profile, to be kept as part of a new context.
func (a *Agent) loadContext(ctx context.Context, userID string) (AgentContext, error) {
	var profile origin.Profile
	var conversations []origin.ConversationSummary
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		profile, err = a.store.Profile(ctx, userID)
		return err
	})
	both.Go(func() (err error) {
		conversations, err = a.store.Conversations(ctx, userID)
		return err
	})
	if err := both.Wait(); err != nil {
		return AgentContext{}, err
	}
	return AgentContext{
		UserID: userID, Name: profile.Name, Language: profile.Language, Bio: profile.Bio,
		Conversations: conversations[:min(len(conversations), contextConversations)],
	}, nil
}
