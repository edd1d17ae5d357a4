package origin

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oglab/ogcache/internal/families"
)

// Session returns who is behind an access token, by the database's own
// sessions, or ErrUnauthorized. It ends no later than the token itself.
func (p *Postgres) Session(ctx context.Context, token string) (Session, error) {
	userID, expiresAt, err := ParseToken(token, time.Now())
	if err != nil {
		return Session{}, err
	}
	rows, err := selectRows(ctx, p, &statement{"SELECT", "ogcache.sessions", `
select user_id, expires_at from ogcache.sessions
where token_digest = $1 and revoked_at is null and expires_at > now()`},
		func(row pgx.CollectableRow) (s Session, err error) {
			err = row.Scan(&s.UserID, &s.ExpiresAt)
			s.ExpiresAt = s.ExpiresAt.UTC()
			return s, err
		}, families.TokenDigest(token))
	if err != nil {
		return Session{}, err
	}
	if len(rows) == 0 || rows[0].UserID != userID {
		return Session{}, fmt.Errorf("session: %w", ErrUnauthorized)
	}
	if s := rows[0]; s.ExpiresAt.Before(expiresAt) {
		expiresAt = s.ExpiresAt
	}
	return Session{UserID: userID, ExpiresAt: expiresAt}, nil
}

const profileColumns = `u.id, coalesce(u.telegram_id, ''), u.name, u.language, u.bio, u.updated_at`

func (p *Profile) columns() []any {
	return []any{&p.UserID, &p.TelegramID, &p.Name, &p.Language, &p.Bio, &p.UpdatedAt}
}

func scanProfile(row pgx.CollectableRow) (p Profile, err error) {
	err = row.Scan(p.columns()...)
	p.UpdatedAt = p.UpdatedAt.UTC()
	return p, err
}

// Profile returns a user's profile, or ErrNotFound.
func (p *Postgres) Profile(ctx context.Context, userID string) (Profile, error) {
	if err := checkID("user id", userID); err != nil {
		return Profile{}, err
	}
	return selectRow(ctx, p, &statement{"SELECT", "ogcache.users",
		"select " + profileColumns + " from ogcache.users u where u.id = $1"}, scanProfile, userID)
}

// Profiles returns the profiles of those users who have one.
func (p *Postgres) Profiles(ctx context.Context, userIDs []string) (map[string]Profile, error) {
	if err := checkIDs("user id", userIDs); err != nil {
		return nil, err
	}
	rows, err := selectRows(ctx, p, &statement{"SELECT", "ogcache.users",
		"select " + profileColumns + " from ogcache.users u where u.id = any($1)"}, scanProfile, userIDs)
	if err != nil {
		return nil, err
	}
	found := make(map[string]Profile, len(rows))
	for _, profile := range rows {
		found[profile.UserID] = profile
	}
	return found, nil
}

// ProfileByTelegram returns the profile that has a Telegram id, or ErrNotFound.
func (p *Postgres) ProfileByTelegram(ctx context.Context, telegramID string) (Profile, error) {
	if err := checkID("telegram id", telegramID); err != nil {
		return Profile{}, err
	}
	return selectRow(ctx, p, &statement{"SELECT", "ogcache.users",
		"select " + profileColumns + " from ogcache.users u where u.telegram_id = $1"}, scanProfile, telegramID)
}

// Conversation returns a conversation with its messages, or ErrNotFound.
func (p *Postgres) Conversation(ctx context.Context, id string) (Conversation, error) {
	if err := checkID("conversation id", id); err != nil {
		return Conversation{}, err
	}
	return selectRow(ctx, p, &statement{"SELECT", "ogcache.conversations", `
select c.id, c.user_id, c.title, c.updated_at, coalesce(m.messages, '[]')
from ogcache.conversations c
cross join lateral (
    select json_agg(json_build_object('id', id, 'role', role, 'text', text, 'createdAt', created_at)
                    order by created_at, id) as messages
    from (select id, role, text, created_at from ogcache.messages
          where conversation_id = c.id order by created_at desc, id desc limit $2) latest
) m
where c.id = $1`},
		func(row pgx.CollectableRow) (c Conversation, err error) {
			err = row.Scan(&c.ID, &c.UserID, &c.Title, &c.UpdatedAt, &c.Messages)
			c.UpdatedAt = c.UpdatedAt.UTC()
			for i := range c.Messages {
				c.Messages[i].CreatedAt = c.Messages[i].CreatedAt.UTC()
			}
			return c, err
		}, id, MaxMessages)
}

// Conversations returns a user's conversations, newest first.
func (p *Postgres) Conversations(ctx context.Context, userID string) ([]ConversationSummary, error) {
	lists, err := p.ConversationLists(ctx, []string{userID})
	return lists[userID], err
}

// ConversationLists returns the conversations of each of the users, newest
// first, with an empty list for those who have none.
func (p *Postgres) ConversationLists(ctx context.Context, userIDs []string) (map[string][]ConversationSummary, error) {
	if err := checkIDs("user id", userIDs); err != nil {
		return nil, err
	}
	type owned struct {
		userID string
		ConversationSummary
	}
	rows, err := selectRows(ctx, p, &statement{"SELECT", "ogcache.conversations", `
select c.user_id, c.id, c.title, c.updated_at,
       (select count(*) from ogcache.messages m where m.conversation_id = c.id)
from ogcache.conversations c
where c.user_id = any($1)
order by c.updated_at desc, c.id`},
		func(row pgx.CollectableRow) (c owned, err error) {
			err = row.Scan(&c.userID, &c.ID, &c.Title, &c.UpdatedAt, &c.MessageCount)
			c.UpdatedAt = c.UpdatedAt.UTC()
			return c, err
		}, userIDs)
	if err != nil {
		return nil, err
	}
	lists := make(map[string][]ConversationSummary, len(userIDs))
	for _, id := range userIDs {
		lists[id] = []ConversationSummary{}
	}
	for _, c := range rows {
		lists[c.userID] = append(lists[c.userID], c.ConversationSummary)
	}
	return lists, nil
}

// Menu returns the menu in its order.
func (p *Postgres) Menu(ctx context.Context) ([]MenuItem, error) {
	return selectRows(ctx, p, &statement{"SELECT", "ogcache.menu_items", `
select id, category, name, description, price_cents from ogcache.menu_items order by position, id`},
		pgx.RowToStructByPos[MenuItem])
}

// RecentUsers returns at most n users, the most recently active first: those
// who last wrote a message or changed their profile.
func (p *Postgres) RecentUsers(ctx context.Context, n int) ([]string, error) {
	if n < 0 {
		return nil, fmt.Errorf("%w: cannot list %d users", ErrInvalid, n)
	}
	return selectRows(ctx, p, &statement{"SELECT", "ogcache.users", `
select u.id
from ogcache.users u
left join (select user_id, max(updated_at) as at from ogcache.conversations group by user_id) c on c.user_id = u.id
order by greatest(u.updated_at, c.at) desc, u.id
limit $1`}, pgx.RowTo[string], n)
}
