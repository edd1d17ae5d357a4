package agent

import (
	"context"
	"errors"

	"github.com/oglab/ogcache/internal/origin"
)

// Profile returns a user's profile and creates it when there is none.
func (a *Agent) Profile(ctx context.Context, userID string) (origin.Profile, error) {
	p, err := a.profile(ctx, userID)
	if !errors.Is(err, origin.ErrNotFound) {
		return p, err
	}
	change, err := a.store.CreateProfile(ctx, userID)
	if err != nil {
		return origin.Profile{}, err
	}
	a.outdated(ctx, change)
	return a.profile(ctx, userID)
}

func (a *Agent) profile(ctx context.Context, userID string) (origin.Profile, error) {
	return a.profiles.Fetch(ctx, userID, func(ctx context.Context) (origin.Profile, error) {
		return a.store.Profile(ctx, userID)
	})
}

// UpdateProfile changes a profile and returns it as it is then.
func (a *Agent) UpdateProfile(ctx context.Context, userID string, patch origin.ProfilePatch) (origin.Profile, error) {
	p, change, err := a.store.UpdateProfile(ctx, userID, patch)
	if err != nil {
		return origin.Profile{}, err
	}
	a.outdated(ctx, change)
	return p, nil
}

// ProfileByTelegram returns the profile that has a Telegram id, or
// origin.ErrNotFound.
func (a *Agent) ProfileByTelegram(ctx context.Context, telegramID string) (origin.Profile, error) {
	return a.telegrams.Fetch(ctx, telegramID, func(ctx context.Context) (origin.Profile, error) {
		return a.store.ProfileByTelegram(ctx, telegramID)
	})
}
