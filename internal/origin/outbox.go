package origin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oglab/ogcache/internal/families"
)

// outboxEntry is a row of the outbox: a change that triggers recorded.
type outboxEntry struct {
	id int64
	families.Change
}

// entryColumns reads a message's conversation together with who owns it now.
const entryColumns = `o.id, o.entity, o.everything,
    o.user_ids || array(select c.user_id from ogcache.conversations c where c.id = any(o.conversation_ids)),
    o.telegram_ids, o.conversation_ids, o.token_digests, o.transaction::text::bigint`

func scanEntry(row pgx.CollectableRow) (e outboxEntry, err error) {
	err = row.Scan(&e.id, &e.Entity, &e.All, &e.UserIDs, &e.TelegramIDs, &e.ConversationIDs, &e.TokenDigests, &e.Transaction)
	return e, err
}

// Deliver gives drop the oldest pending changes of the outbox, at most limit of
// those that are older than grace, and marks them done once it returns nil.
// They are claimed meanwhile: who delivers at the same time gets others. When
// drop or the process fails they stay pending, so each change is delivered at
// least once. It returns how many were done. QueryTimeout bounds each of its
// statements, drop has to bound itself.
func (p *Postgres) Deliver(ctx context.Context, grace time.Duration, limit int, drop func(context.Context, []families.Change) error) (int, error) {
	n, err := p.deliver(ctx, grace, limit, drop)
	if err != nil {
		return 0, fmt.Errorf("delivering the outbox: %w", err)
	}
	return n, nil
}

func (p *Postgres) deliver(ctx context.Context, grace time.Duration, limit int, drop func(context.Context, []families.Change) error) (int, error) {
	within, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	tx, err := p.pool.BeginTx(within, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return 0, err
	}
	defer func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.timeout)
		defer cancel()
		_ = tx.Rollback(within) // a connection that cannot is closed
	}()
	rows, _ := tx.Query(within, `
select `+entryColumns+`
from ogcache.outbox o
where o.done_at is null and o.created_at <= now() - make_interval(secs => $1)
order by o.transaction, o.id
limit $2
for update of o skip locked`, grace.Seconds(), limit)
	entries, err := pgx.CollectRows(rows, scanEntry)
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	changes, ids := make([]families.Change, len(entries)), make([]int64, len(entries))
	for i, e := range entries {
		changes[i], ids[i] = e.Change, e.id
	}
	if err := drop(ctx, changes); err != nil {
		return 0, err
	}
	within, cancel = context.WithTimeout(ctx, p.timeout)
	defer cancel()
	if _, err := tx.Exec(within, "update ogcache.outbox set done_at = clock_timestamp() where id = any($1)", ids); err != nil {
		return 0, err
	}
	return len(ids), tx.Commit(within)
}

// MarkDelivered marks done what the transactions of the changes recorded and
// the changes cover: their keys have been dropped. What such a transaction
// recorded besides, by other triggers for instance, stays pending. So does what
// is being delivered. It returns how many entries it marked.
func (p *Postgres) MarkDelivered(ctx context.Context, changes []families.Change) (int, error) {
	type recorded struct {
		families.Change
		Transaction uint64 `json:"transaction"`
	}
	list := make([]recorded, len(changes))
	for i, c := range changes {
		list[i] = recorded{c, c.Transaction}
	}
	encoded, err := json.Marshal(list)
	if err != nil {
		return 0, fmt.Errorf("encoding changes: %w", err)
	}
	n, err := p.exec(ctx, &statement{"UPDATE", "ogcache.outbox", `
update ogcache.outbox set done_at = clock_timestamp()
where id in (
    select o.id
    from ogcache.outbox o
    join jsonb_to_recordset($1::jsonb) as c (transaction xid8, entity text,
        user_ids text[], telegram_ids text[], conversation_ids text[], token_digests text[]) using (transaction, entity)
    where o.done_at is null and not o.everything
      and o.user_ids <@ coalesce(c.user_ids, '{}') and o.telegram_ids <@ coalesce(c.telegram_ids, '{}')
      and o.conversation_ids <@ coalesce(c.conversation_ids, '{}') and o.token_digests <@ coalesce(c.token_digests, '{}')
    for update of o skip locked
)`}, string(encoded))
	return int(n), err
}

// PendingChanges returns the changes that are not known to be delivered, those
// included that somebody is delivering. limit bounds their ids; more says that
// there are others.
func (p *Postgres) PendingChanges(ctx context.Context, limit int) (changes []families.Change, more bool, err error) {
	return p.someChanges(ctx, limit, `
select `+entryColumns+` from ogcache.outbox o where o.done_at is null order by o.transaction, o.id limit $1`)
}

// DeliveredChanges returns the changes that were delivered within the time
// since. limit bounds their ids. complete is false where there are more, or
// where the outbox has not recorded all that time.
func (p *Postgres) DeliveredChanges(ctx context.Context, since time.Duration, limit int) (changes []families.Change, complete bool, err error) {
	covered, err := selectRow(ctx, p, &statement{"SELECT", "ogcache.outbox_coverage", `
select since <= now() - make_interval(secs => $1) and ` + outboxEnabled + ` from ogcache.outbox_coverage`},
		pgx.RowTo[bool], since.Seconds())
	if err != nil || !covered {
		return nil, false, err
	}
	changes, more, err := p.someChanges(ctx, limit, `
select `+entryColumns+` from ogcache.outbox o
where o.done_at >= now() - make_interval(secs => $2) order by o.done_at limit $1`, since.Seconds())
	return changes, !more, err
}

// someChanges runs a query that takes the largest number of rows as its first
// argument.
func (p *Postgres) someChanges(ctx context.Context, limit int, sql string, args ...any) ([]families.Change, bool, error) {
	enough := errors.New("there are more")
	var changes []families.Change
	ids := 0
	_, err := selectRows(ctx, p, &statement{"SELECT", "ogcache.outbox", sql},
		func(row pgx.CollectableRow) (struct{}, error) {
			e, err := scanEntry(row)
			if err != nil {
				return struct{}{}, err
			}
			ids += max(1, len(e.UserIDs)+len(e.TelegramIDs)+len(e.ConversationIDs)+len(e.TokenDigests))
			if ids > limit {
				return struct{}{}, enough
			}
			changes = append(changes, e.Change)
			return struct{}{}, nil
		}, append([]any{limit + 1}, args...)...)
	if errors.Is(err, enough) {
		return changes, true, nil
	}
	return changes, false, err
}

// PruneOutbox removes at most limit entries that were delivered, and as many
// revocations that were recorded, longer than keep ago, and returns how many
// entries it removed. What was delivered within the longest lifetime of a
// cached value must be kept, for DeliveredChanges.
func (p *Postgres) PruneOutbox(ctx context.Context, keep time.Duration, limit int) (int, error) {
	n, err := p.exec(ctx, &statement{"DELETE", "ogcache.outbox", `
with old_revocations as (
    delete from ogcache.revocations where token_digest in (
        select token_digest from ogcache.revocations
        where revoked_at < now() - make_interval(secs => $1) limit $2 for update skip locked)
)
delete from ogcache.outbox where id in (
    select id from ogcache.outbox
    where done_at < now() - make_interval(secs => $1) order by done_at limit $2 for update skip locked)`},
		keep.Seconds(), limit)
	return int(n), err
}
