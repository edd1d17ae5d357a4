package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/origin"
)

// Session returns who is behind an access token. A malformed or expired token
// is origin.ErrUnauthorized without asking anybody.
func (a *Agent) Session(ctx context.Context, token string) (origin.Session, error) {
	userID, _, err := origin.ParseToken(token, time.Now())
	if err != nil {
		return origin.Session{}, err
	}
	s, err := a.sessions.Fetch(ctx, families.TokenDigest(token), func(ctx context.Context) (origin.Session, error) {
		return a.auth.Session(ctx, token)
	})
	if err != nil {
		return origin.Session{}, err
	}
	if s.UserID != userID {
		return origin.Session{}, fmt.Errorf("the token names another user than its session: %w", origin.ErrUnauthorized)
	}
	return s, nil
}

// Logout ends the token's session, here and at the auth service. That it will
// be dropped from the cache is recorded first; where it cannot be, the auth
// service is not asked.
func (a *Agent) Logout(ctx context.Context, token string) error {
	if _, _, err := origin.ParseToken(token, time.Now()); err != nil {
		return err
	}
	ended := families.Change{Entity: families.Session, TokenDigests: []string{families.TokenDigest(token)}}
	if a.revocations != nil {
		var err error
		if ended, err = a.revocations.RecordRevocation(ctx, families.TokenDigest(token)); err != nil {
			return fmt.Errorf("recording a logout: %w", err)
		}
	}
	// Before, so that a crash in between cannot leave the entry; after, because
	// a reader may have stored the session again until it was revoked.
	a.drop(ctx, ended)
	if err := a.auth.Revoke(ctx, token); err != nil {
		// Perhaps it was revoked, or will be: what is recorded stays to be dropped.
		a.drop(ctx, ended)
		return err
	}
	a.outdated(ctx, ended)
	return nil
}
