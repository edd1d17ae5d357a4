package origin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// outboxTriggers is how many triggers record into the outbox.
const outboxTriggers = 22

// outboxEnabled is true where all of them are there and fire.
var outboxEnabled = fmt.Sprintf(`(
    select count(*) = %d from pg_catalog.pg_trigger t
    join pg_catalog.pg_class c on c.oid = t.tgrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'ogcache' and t.tgname like 'outbox\_%%' and t.tgenabled in ('O', 'A')
)`, outboxTriggers)

// maxPending bounds what is counted of the outbox.
const maxPending = 10_000

// OutboxState is how the outbox stands.
type OutboxState struct {
	Enabled bool          // its triggers record
	Pending int           // changes that are not known to be delivered; 10,000 means that or more
	Oldest  time.Duration // how long ago the oldest of them was recorded, 0 without any
}

// OutboxState returns how the outbox stands. Its cost is bounded, whatever is
// pending.
func (p *Postgres) OutboxState(ctx context.Context) (OutboxState, error) {
	return selectRow(ctx, p, &statement{"SELECT", "ogcache.outbox", `
select ` + outboxEnabled + `, count(*), greatest(0, coalesce(extract(epoch from now() - min(created_at)), 0))::float8
from (select created_at from ogcache.outbox where done_at is null order by transaction, id limit $1) pending`},
		func(row pgx.CollectableRow) (s OutboxState, err error) {
			var oldest float64
			err = row.Scan(&s.Enabled, &s.Pending, &oldest)
			s.Oldest = time.Duration(oldest * float64(time.Second))
			return s, err
		}, maxPending)
}

// SwitchOutbox makes the outbox's triggers record, or not. It waits at most 5 s
// for transactions that have written the tables. What changed while they were
// off is not known, so that switching them on again records a change of
// everything. Doing it again changes nothing.
func (p *Postgres) SwitchOutbox(ctx context.Context, on bool) error {
	action := "disable"
	if on {
		action = "enable"
	}
	err := pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		// The row's lock makes others who switch wait.
		if _, err := tx.Exec(ctx, `
set local lock_timeout = '5s';
select from ogcache.outbox_coverage for update`); err != nil {
			return err
		}
		var enabled bool
		if err := tx.QueryRow(ctx, "select "+outboxEnabled).Scan(&enabled); err != nil {
			return err
		}
		if on && enabled {
			return nil
		}
		if _, err := tx.Exec(ctx, `
do $$
declare
    found record;
begin
    for found in
        select c.relname, t.tgname from pg_catalog.pg_trigger t
        join pg_catalog.pg_class c on c.oid = t.tgrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'ogcache' and t.tgname like 'outbox\_%' order by c.relname, t.tgname
    loop
        execute format('alter table ogcache.%I `+action+` trigger %I', found.relname, found.tgname);
    end loop;
end
$$`); err != nil {
			return err
		}
		if !on {
			return nil
		}
		_, err := tx.Exec(ctx, `
update ogcache.outbox_coverage set since = clock_timestamp();
insert into ogcache.outbox (entity, everything)
values ('user', true), ('conversation', true), ('menu', true), ('session', true)`)
		return err
	})
	if err != nil {
		return fmt.Errorf("switching the outbox: %w", err)
	}
	return nil
}

// TrustedServers reports whether each of the Redis servers is known to have
// seen every change. None at all, or one whose identity is not known, is not.
func (p *Postgres) TrustedServers(ctx context.Context, identities []string) (bool, error) {
	if len(identities) == 0 || slices.Contains(identities, "") {
		return false, nil
	}
	return selectRow(ctx, p, &statement{"SELECT", "ogcache.trusted_servers", `
select not exists (select unnest($1::text[]) except select identity from ogcache.trusted_servers)`},
		pgx.RowTo[bool], identities)
}

// TrustServers records that the Redis servers have seen every change.
func (p *Postgres) TrustServers(ctx context.Context, identities []string) error {
	_, err := p.exec(ctx, &statement{"INSERT", "ogcache.trusted_servers", `
insert into ogcache.trusted_servers (identity) select distinct unnest($1::text[])
on conflict (identity) do update set trusted_at = excluded.trusted_at`}, identities)
	return err
}
