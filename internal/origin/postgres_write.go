package origin

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oglab/ogcache/internal/families"
)

// currentTransaction tells a write in which transaction triggers recorded it.
const currentTransaction = "pg_current_xact_id()::text::bigint"

// Revoke ends a token's session. Doing it again is no error; a token that was
// never valid is ErrUnauthorized.
func (p *Postgres) Revoke(ctx context.Context, token string) error {
	if _, _, err := ParseToken(token, time.Now()); err != nil {
		return err
	}
	n, err := p.exec(ctx, &statement{"UPDATE", "ogcache.sessions", `
update ogcache.sessions set revoked_at = coalesce(revoked_at, now()) where token_digest = $1`},
		families.TokenDigest(token))
	if err == nil && n == 0 {
		err = fmt.Errorf("session: %w", ErrUnauthorized)
	}
	return err
}

// RecordRevocation records that a session is about to end at an auth service
// outside the database, so that its cached entry is dropped whatever becomes of
// the caller: 10 s later, unless MarkDelivered says before that it was.
func (p *Postgres) RecordRevocation(ctx context.Context, tokenDigest string) (families.Change, error) {
	change := families.Change{Entity: families.Session, TokenDigests: []string{tokenDigest}}
	var err error
	change.Transaction, err = selectRow(ctx, p, &statement{"INSERT", "ogcache.revocations", `
insert into ogcache.revocations (token_digest) values ($1)
on conflict (token_digest) do update set revoked_at = excluded.revoked_at
returning ` + currentTransaction}, pgx.RowTo[uint64], tokenDigest)
	if err != nil {
		return families.Change{}, err
	}
	return change, nil
}

// CreateProfile makes a profile for a user who has none.
func (p *Postgres) CreateProfile(ctx context.Context, userID string) (families.Change, error) {
	if err := checkID("user id", userID); err != nil {
		return families.Change{}, err
	}
	profile := newProfile(userID, time.Time{})
	recorded, err := selectRows(ctx, p, &statement{"INSERT", "ogcache.users", `
insert into ogcache.users (id, name, language) values ($1, $2, $3) on conflict (id) do nothing
returning ` + currentTransaction}, pgx.RowTo[uint64], profile.UserID, profile.Name, profile.Language)
	if err != nil {
		return families.Change{}, err
	}
	change := userChange(userID)
	if len(recorded) > 0 {
		change.Transaction = recorded[0]
	}
	return change, nil
}

// UpdateProfile changes a profile and returns it as it is then. It fails with
// ErrInvalid, ErrNotFound, or ErrConflict when another user has the Telegram id.
func (p *Postgres) UpdateProfile(ctx context.Context, userID string, patch ProfilePatch) (Profile, families.Change, error) {
	if err := checkID("user id", userID); err != nil {
		return Profile{}, families.Change{}, err
	}
	if err := patch.Validate(); err != nil {
		return Profile{}, families.Change{}, err
	}
	type update struct {
		Profile
		oldTelegramID string
		transaction   uint64
	}
	// The row is locked before it is read, so that the old Telegram id is the one
	// that this very update replaces.
	updated, err := selectRow(ctx, p, &statement{"UPDATE", "ogcache.users", `
with old as (select id, telegram_id from ogcache.users where id = $1 for update)
update ogcache.users u set
    telegram_id = case when $2::text is null then u.telegram_id else nullif($2, '') end,
    name        = coalesce($3::text, u.name),
    language    = coalesce($4::text, u.language),
    bio         = coalesce($5::text, u.bio),
    updated_at  = clock_timestamp()
from old where u.id = old.id
returning ` + profileColumns + `, coalesce(old.telegram_id, ''), ` + currentTransaction},
		func(row pgx.CollectableRow) (u update, err error) {
			err = row.Scan(append(u.columns(), &u.oldTelegramID, &u.transaction)...)
			u.UpdatedAt = u.UpdatedAt.UTC()
			return u, err
		}, userID, patch.TelegramID, patch.Name, patch.Language, patch.Bio)
	if err != nil {
		return Profile{}, families.Change{}, err
	}
	change := userChange(userID, updated.oldTelegramID, updated.TelegramID)
	change.Transaction = updated.transaction
	return updated.Profile, change, nil
}

// AddMessage adds a message to a user's conversation. It fails with ErrInvalid,
// or with ErrNotFound when the user has no such conversation.
func (p *Postgres) AddMessage(ctx context.Context, conversationID, userID, role, text string) (Message, families.Change, error) {
	if err := checkNewMessage(conversationID, userID, role, text); err != nil {
		return Message{}, families.Change{}, err
	}
	message := Message{ID: newMessageID(), Role: role, Text: text}
	change := conversationChange(conversationID, userID)
	// Every message of a conversation is later than the one before.
	at, err := selectRow(ctx, p, &statement{"INSERT", "ogcache.messages", `
with conversation as (
    update ogcache.conversations
    set updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')
    where id = $1 and user_id = $2
    returning id, updated_at
)
insert into ogcache.messages (id, conversation_id, role, text, created_at)
select $3, id, $4, $5, updated_at from conversation
returning created_at, ` + currentTransaction},
		func(row pgx.CollectableRow) (at time.Time, err error) {
			err = row.Scan(&at, &change.Transaction)
			return at, err
		}, conversationID, userID, message.ID, role, text)
	if err != nil {
		return Message{}, families.Change{}, err
	}
	message.CreatedAt = at.UTC()
	return message, change, nil
}
