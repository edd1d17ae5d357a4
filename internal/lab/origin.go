package lab

import (
	"context"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/origin"
)

// distantOrigin puts the emulated network in front of an origin's reads.
// Writes and listings for warm-up are not part of the guide's table and are
// not delayed.
type distantOrigin struct {
	agent.Store
	auth    agent.Authenticator
	network *emulation
}

func (o distantOrigin) Session(ctx context.Context, token string) (origin.Session, error) {
	if err := o.network.delayOrigin(ctx, families.AuthToken); err != nil {
		return origin.Session{}, err
	}
	return o.auth.Session(ctx, token)
}

func (o distantOrigin) Revoke(ctx context.Context, token string) error {
	return o.auth.Revoke(ctx, token)
}

func (o distantOrigin) Profile(ctx context.Context, userID string) (origin.Profile, error) {
	if err := o.network.delayOrigin(ctx, families.UserProfile); err != nil {
		return origin.Profile{}, err
	}
	return o.Store.Profile(ctx, userID)
}

func (o distantOrigin) Profiles(ctx context.Context, userIDs []string) (map[string]origin.Profile, error) {
	if err := o.network.delayOrigin(ctx, families.UserProfile); err != nil {
		return nil, err
	}
	return o.Store.Profiles(ctx, userIDs)
}

func (o distantOrigin) ProfileByTelegram(ctx context.Context, telegramID string) (origin.Profile, error) {
	if err := o.network.delayOrigin(ctx, families.UserTelegram); err != nil {
		return origin.Profile{}, err
	}
	return o.Store.ProfileByTelegram(ctx, telegramID)
}

func (o distantOrigin) Conversation(ctx context.Context, id string) (origin.Conversation, error) {
	if err := o.network.delayOrigin(ctx, families.ConversationByID); err != nil {
		return origin.Conversation{}, err
	}
	return o.Store.Conversation(ctx, id)
}

func (o distantOrigin) Conversations(ctx context.Context, userID string) ([]origin.ConversationSummary, error) {
	if err := o.network.delayOrigin(ctx, families.ConversationList); err != nil {
		return nil, err
	}
	return o.Store.Conversations(ctx, userID)
}

func (o distantOrigin) ConversationLists(ctx context.Context, userIDs []string) (map[string][]origin.ConversationSummary, error) {
	if err := o.network.delayOrigin(ctx, families.ConversationList); err != nil {
		return nil, err
	}
	return o.Store.ConversationLists(ctx, userIDs)
}

func (o distantOrigin) Menu(ctx context.Context) ([]origin.MenuItem, error) {
	if err := o.network.delayOrigin(ctx, families.MenuItems); err != nil {
		return nil, err
	}
	return o.Store.Menu(ctx)
}
