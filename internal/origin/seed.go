package origin

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oglab/ogcache/internal/families"
)

// seedBatch is how many people one statement inserts.
const seedBatch = 500

// Seed makes a population, as far as it is not there, with one access token for
// each user, valid for a year. What exists stays as it is. Doing it again
// changes nothing and returns the same tokens, unless they have less than 30
// days left; a user whose token was revoked gets another. progress, which may
// be nil, is told after every batch of users. A Seed that is interrupted can be
// repeated.
func (p *Postgres) Seed(ctx context.Context, population Population, progress func(done, total int)) ([]Identity, error) {
	if err := population.Validate(); err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(int, int) {}
	}
	tokens, err := p.seedIssuer(ctx, population.Seed)
	if err != nil {
		return nil, fmt.Errorf("seeding: the tokens' secret: %w", err)
	}
	if err := p.seedMenu(ctx); err != nil {
		return nil, fmt.Errorf("seeding the menu: %w", err)
	}
	identities := make([]Identity, 0, population.Users)
	for first := 1; first <= population.Users; first += seedBatch {
		last := min(first+seedBatch-1, population.Users)
		var batch peopleColumns
		for n := first; n <= last; n++ {
			batch.add(population.person(n))
		}
		ids, err := p.seedPeople(ctx, &batch, tokens)
		if err != nil {
			return nil, fmt.Errorf("seeding users %d to %d: %w", first, last, err)
		}
		identities = append(identities, ids...)
		progress(last, population.Users)
	}
	// So that the first queries are planned with knowledge of the new rows.
	if _, err := p.pool.Exec(ctx, "analyze ogcache.users, ogcache.conversations, ogcache.messages, ogcache.sessions"); err != nil {
		return nil, fmt.Errorf("seeding: analyzing the tables: %w", err)
	}
	return identities, nil
}

// seedIssuer returns what signs a seed's tokens. The secret is random, made
// with the seed's row.
func (p *Postgres) seedIssuer(ctx context.Context, seed uint64) (issuer, error) {
	var i issuer
	now := time.Now().Truncate(time.Second)
	err := p.pool.QueryRow(ctx, `
insert into ogcache.seeds as s (seed, secret, issued_at) values ($1::text::numeric, $2, $3)
on conflict (seed) do update
set issued_at = case when s.issued_at < $4::timestamptz then excluded.issued_at else s.issued_at end
returning secret, issued_at`,
		strconv.FormatUint(seed, 10), newSecret(), now, now.Add(tokenRenewal-tokenLifetime)).
		Scan(&i.secret, &i.issuedAt)
	return i, err
}

func (p *Postgres) seedMenu(ctx context.Context) error {
	var ids, categories, names, descriptions []string
	var prices []int
	for _, item := range populationMenu() {
		ids = append(ids, item.ID)
		categories = append(categories, item.Category)
		names = append(names, item.Name)
		descriptions = append(descriptions, item.Description)
		prices = append(prices, item.PriceCents)
	}
	_, err := p.pool.Exec(ctx, `
insert into ogcache.menu_items (id, position, category, name, description, price_cents)
select id, position, category, name, description, price
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
     with ordinality as item (id, category, name, description, price, position)
on conflict (id) do nothing`, ids, categories, names, descriptions, prices)
	return err
}

// seedPeople inserts a batch of people, each with a session, and returns them
// as they are in the database.
func (p *Postgres) seedPeople(ctx context.Context, batch *peopleColumns, tokens issuer) ([]Identity, error) {
	if err := batch.insert(ctx, p); err != nil {
		return nil, err
	}
	signed, err := p.seedSessions(ctx, batch.userIDs, tokens)
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	rows, _ := p.pool.Query(ctx, `
select u.id, coalesce(u.telegram_id, ''),
       array(select c.id from ogcache.conversations c where c.user_id = u.id and c.id = any($2) order by c.id)
from ogcache.users u
join unnest($1::text[]) with ordinality as asked (id, position) on asked.id = u.id
order by asked.position`, batch.userIDs, batch.conversationIDs)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (id Identity, err error) {
		err = row.Scan(&id.UserID, &id.TelegramID, &id.Conversations)
		id.Token = signed[id.UserID]
		return id, err
	})
}

// seedSessions gives each user a session that is not revoked and returns the
// tokens by user.
func (p *Postgres) seedSessions(ctx context.Context, userIDs []string, tokens issuer) (map[string]string, error) {
	signed := make(map[string]string, len(userIDs))
	// More logouts than this of one seeded user, within a year, are no test data.
	const maxTokens = 1000
	for n := 1; len(userIDs) > 0; n++ {
		if n > maxTokens {
			return nil, fmt.Errorf("%d tokens of %s have been revoked; use another seed", maxTokens, userIDs[0])
		}
		digests := make([]string, len(userIDs))
		for i, id := range userIDs {
			token, err := tokens.token(id, n)
			if err != nil {
				return nil, err
			}
			signed[id], digests[i] = token, families.TokenDigest(token)
		}
		_, err := p.pool.Exec(ctx, `
insert into ogcache.sessions (token_digest, user_id, created_at, expires_at)
select digest, user_id, $3, $4 from unnest($1::text[], $2::text[]) as s (digest, user_id)
on conflict (token_digest) do nothing`, digests, userIDs, tokens.issuedAt, tokens.expiresAt())
		if err != nil {
			return nil, err
		}
		rows, _ := p.pool.Query(ctx, `
select user_id from ogcache.sessions where token_digest = any($1) and revoked_at is not null order by user_id`, digests)
		if userIDs, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return nil, err
		}
	}
	return signed, nil
}

// peopleColumns are people as the arrays that one statement takes.
type peopleColumns struct {
	userIDs, telegramIDs, names, languages, bios []string
	userUpdates                                  []time.Time

	conversationIDs, owners, titles           []string
	conversationBegins, conversationUpdates   []time.Time
	messageIDs, messageOwners, roles, content []string
	messageTimes                              []time.Time
}

func (b *peopleColumns) add(who person) {
	u := who.profile
	b.userIDs = append(b.userIDs, u.UserID)
	b.telegramIDs = append(b.telegramIDs, u.TelegramID)
	b.names = append(b.names, u.Name)
	b.languages = append(b.languages, u.Language)
	b.bios = append(b.bios, u.Bio)
	b.userUpdates = append(b.userUpdates, u.UpdatedAt)
	for _, c := range who.conversations {
		b.conversationIDs = append(b.conversationIDs, c.ID)
		b.owners = append(b.owners, c.UserID)
		b.titles = append(b.titles, c.Title)
		b.conversationBegins = append(b.conversationBegins, c.Messages[0].CreatedAt)
		b.conversationUpdates = append(b.conversationUpdates, c.UpdatedAt)
		for _, m := range c.Messages {
			b.messageIDs = append(b.messageIDs, m.ID)
			b.messageOwners = append(b.messageOwners, c.ID)
			b.roles = append(b.roles, m.Role)
			b.content = append(b.content, m.Text)
			b.messageTimes = append(b.messageTimes, m.CreatedAt)
		}
	}
}

// insert adds what is not there, in one statement: all of it or nothing.
// Messages come with a new conversation only, so that what a user deleted stays
// deleted, and a Telegram id that someone else has is left out.
func (b *peopleColumns) insert(ctx context.Context, p *Postgres) error {
	_, err := p.pool.Exec(ctx, `
with new_users as (
    insert into ogcache.users (id, telegram_id, name, language, bio, created_at, updated_at)
    select id, case when not exists (select from ogcache.users u where u.telegram_id = s.telegram_id) then telegram_id end,
           name, language, bio, updated_at, updated_at
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
         as s (id, telegram_id, name, language, bio, updated_at)
    on conflict (id) do nothing
), new_conversations as (
    insert into ogcache.conversations (id, user_id, title, created_at, updated_at)
    select * from unnest($7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[])
    on conflict (id) do nothing
    returning id
)
insert into ogcache.messages (id, conversation_id, role, text, created_at)
select m.* from unnest($12::text[], $13::text[], $14::text[], $15::text[], $16::timestamptz[])
                as m (id, conversation_id, role, text, created_at)
join new_conversations c on c.id = m.conversation_id
on conflict (id) do nothing`,
		b.userIDs, b.telegramIDs, b.names, b.languages, b.bios, b.userUpdates,
		b.conversationIDs, b.owners, b.titles, b.conversationBegins, b.conversationUpdates,
		b.messageIDs, b.messageOwners, b.roles, b.content, b.messageTimes)
	return err
}
