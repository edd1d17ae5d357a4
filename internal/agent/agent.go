// Package agent is the application behind the cache: sessions, profiles,
// conversations, the menu and what the agent is told about a user. It reads
// through the cache, writes to the origin and drops what a write outdates.
package agent

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/origin"
)

// Store is where users, conversations and the menu live.
type Store interface {
	Profile(ctx context.Context, userID string) (origin.Profile, error)
	Profiles(ctx context.Context, userIDs []string) (map[string]origin.Profile, error)
	ProfileByTelegram(ctx context.Context, telegramID string) (origin.Profile, error)
	CreateProfile(ctx context.Context, userID string) (families.Change, error)
	UpdateProfile(ctx context.Context, userID string, p origin.ProfilePatch) (origin.Profile, families.Change, error)
	Conversation(ctx context.Context, id string) (origin.Conversation, error)
	Conversations(ctx context.Context, userID string) ([]origin.ConversationSummary, error)
	ConversationLists(ctx context.Context, userIDs []string) (map[string][]origin.ConversationSummary, error)
	AddMessage(ctx context.Context, conversationID, userID, role, text string) (origin.Message, families.Change, error)
	Menu(ctx context.Context) ([]origin.MenuItem, error)
	RecentUsers(ctx context.Context, n int) ([]string, error)
}

// Authenticator knows who is behind an access token. Both methods return
// origin.ErrUnauthorized for a token that it does not accept.
type Authenticator interface {
	Session(ctx context.Context, token string) (origin.Session, error)
	Revoke(ctx context.Context, token string) error
}

// Revocations records logouts durably before an auth service outside the store
// is told.
type Revocations interface {
	RecordRevocation(ctx context.Context, tokenDigest string) (families.Change, error)
}

// Options are an Agent's settings. The zero value works.
type Options struct {
	// Revocations is needed where the Authenticator's sessions are not the
	// store's own, whose changes are recorded with them. nil records nothing.
	Revocations Revocations
	// Delivered is told of each change whose keys have all been dropped. It must
	// not wait. nil tells nobody.
	Delivered func(families.Change)
	// WarmUsers is how many recently active users a warm-up covers. 0 means 500.
	WarmUsers int
	Logger    *slog.Logger // nil discards
}

// Agent is safe for concurrent use.
type Agent struct {
	cache       *instrumented.Cache
	store       Store
	auth        Authenticator
	revocations Revocations // may be nil
	delivered   func(families.Change)
	warmUsers   int
	logger      *slog.Logger

	sessions      instrumented.Typed[origin.Session]
	profiles      instrumented.Typed[origin.Profile]
	telegrams     instrumented.Typed[origin.Profile]
	conversations instrumented.Typed[origin.Conversation]
	lists         instrumented.Typed[[]origin.ConversationSummary]
	menus         instrumented.Typed[[]origin.MenuItem]
	contexts      instrumented.Typed[AgentContext]
}

// New returns the application over a cache and an origin.
func New(cache *instrumented.Cache, store Store, auth Authenticator, o Options) *Agent {
	if o.WarmUsers == 0 {
		o.WarmUsers = 500
	}
	if o.Delivered == nil {
		o.Delivered = func(families.Change) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Agent{
		cache: cache, store: store, auth: auth, revocations: o.Revocations, delivered: o.Delivered,
		warmUsers: o.WarmUsers, logger: o.Logger,
		sessions: instrumented.For[origin.Session](cache, families.AuthToken).
			Until(func(s origin.Session) time.Time { return s.ExpiresAt }),
		profiles:      instrumented.For[origin.Profile](cache, families.UserProfile).KeepAbsent(origin.ErrNotFound),
		telegrams:     instrumented.For[origin.Profile](cache, families.UserTelegram).KeepAbsent(origin.ErrNotFound),
		conversations: instrumented.For[origin.Conversation](cache, families.ConversationByID).KeepAbsent(origin.ErrNotFound),
		lists:         instrumented.For[[]origin.ConversationSummary](cache, families.ConversationList),
		menus:         instrumented.For[[]origin.MenuItem](cache, families.MenuItems),
		contexts:      instrumented.For[AgentContext](cache, families.AgentContext),
	}
}

// Menu returns the menu, the same for everyone.
func (a *Agent) Menu(ctx context.Context) ([]origin.MenuItem, error) {
	return a.menus.Fetch(ctx, families.MenuItems.Single, a.store.Menu)
}

// Bootstrap is what one start of the agent's chat needs.
type Bootstrap struct {
	Session       origin.Session               `json:"session"`
	Profile       origin.Profile               `json:"profile"`
	Conversations []origin.ConversationSummary `json:"conversations"`
}

// Bootstrap authenticates and then reads profile and conversations at once.
func (a *Agent) Bootstrap(ctx context.Context, token string) (Bootstrap, error) {
	var b Bootstrap
	var err error
	if b.Session, err = a.Session(ctx, token); err != nil {
		return b, err
	}
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		b.Profile, err = a.Profile(ctx, b.Session.UserID)
		return err
	})
	both.Go(func() (err error) {
		b.Conversations, err = a.Conversations(ctx, b.Session.UserID)
		return err
	})
	err = both.Wait()
	return b, err
}

// outdated drops the keys that a committed write outdates, and reports that it
// did. A drop that Redis does not confirm in time is the cache's to repeat; the
// write stands.
func (a *Agent) outdated(ctx context.Context, c families.Change) {
	if a.drop(ctx, c) {
		a.delivered(c)
	}
}

// drop reports whether Redis has dropped the keys of a change.
func (a *Agent) drop(ctx context.Context, c families.Change) bool {
	// The write is committed: a caller who leaves now must not leave old values.
	ctx = context.WithoutCancel(ctx)
	if err := a.cache.Delete(ctx, c.Keys()...); err != nil {
		a.logger.WarnContext(ctx, "invalidation is late, it will be repeated",
			"entity", string(c.Entity), "error", err)
		return false
	}
	return true
}
