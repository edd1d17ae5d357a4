-- The outbox: which rows changed, recorded by triggers in the transaction that
-- changed them, whoever did. Entities and ids are those of the program's table
-- of families, which turns them into the keys of the cache.

create table ogcache.outbox (
    id               bigint generated always as identity primary key,
    entity           text not null,
    everything       boolean not null default false, -- every row of the entity
    user_ids         text[] not null default '{}',
    telegram_ids     text[] not null default '{}',
    conversation_ids text[] not null default '{}',
    token_digests    text[] not null default '{}',
    transaction      xid8 not null default pg_current_xact_id(),
    created_at       timestamptz not null default clock_timestamp(),
    done_at          timestamptz -- when the keys had been dropped
);

create index outbox_pending on ogcache.outbox (transaction, id) where done_at is null;
create index outbox_done on ogcache.outbox (done_at) where done_at is not null;

-- Since when the outbox has recorded without a gap.
create table ogcache.outbox_coverage (
    one_row boolean primary key default true check (one_row),
    since   timestamptz not null
);

-- Logouts through an auth service outside this database.
create table ogcache.revocations (
    token_digest text collate "C" primary key check (length(token_digest) = 43),
    revoked_at   timestamptz not null default clock_timestamp()
);

create index revocations_revoked_at on ogcache.revocations (revoked_at);

-- Redis servers whose content has seen every change.
create table ogcache.trusted_servers (
    identity   text collate "C" primary key,
    trusted_at timestamptz not null default clock_timestamp()
);

-- Records ids without repetition, at most 500 in a row. Each family takes one
-- kind of id, so ids that belong together may be in different rows. (A function
-- in SQL would be planned at every call.)
create function ogcache.record_change(
    entity text, user_ids text[] default null, telegram_ids text[] default null,
    conversation_ids text[] default null, token_digests text[] default null
) returns void
language plpgsql
as $$
begin
    insert into ogcache.outbox (entity, user_ids, telegram_ids, conversation_ids, token_digests)
    select record_change.entity,
           coalesce(array_agg(id) filter (where kind = 1), '{}'),
           coalesce(array_agg(id) filter (where kind = 2), '{}'),
           coalesce(array_agg(id) filter (where kind = 3), '{}'),
           coalesce(array_agg(id) filter (where kind = 4), '{}')
    from (
        select kind, id, (row_number() over () - 1) / 500 as chunk
        from (
            select 1 as kind, unnest(record_change.user_ids) as id
            union select 2, unnest(record_change.telegram_ids)
            union select 3, unnest(record_change.conversation_ids)
            union select 4, unnest(record_change.token_digests)
        ) ids
        where id is not null
    ) numbered
    group by chunk;
end
$$;

create function ogcache.record_all(entity text) returns void
language plpgsql
as $$
begin
    insert into ogcache.outbox (entity, everything) values (record_all.entity, true);
end
$$;

-- The triggers' functions. They run with their owner's rights, so that whoever
-- may write a table need not be let near the outbox. changed holds the rows
-- that were inserted or deleted; an updated row counts if it became another.

create function ogcache.record_users() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'TRUNCATE' then
        perform ogcache.record_all('user');
    elsif tg_op = 'UPDATE' then
        perform ogcache.record_change('user',
            user_ids => array_agg(u.id), telegram_ids => array_agg(u.telegram_id))
        from old_rows o full join new_rows n on n.id = o.id
        cross join lateral (values (o.id, o.telegram_id), (n.id, n.telegram_id)) as u (id, telegram_id)
        where o.* is distinct from n.*;
    else
        perform ogcache.record_change('user',
            user_ids => array_agg(u.id), telegram_ids => array_agg(u.telegram_id))
        from changed u;
    end if;
    return null;
end
$$;

create function ogcache.record_conversations() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'TRUNCATE' then
        perform ogcache.record_all('conversation');
    elsif tg_op = 'UPDATE' then
        perform ogcache.record_change('conversation',
            conversation_ids => array_agg(c.id), user_ids => array_agg(c.user_id))
        from old_rows o full join new_rows n on n.id = o.id
        cross join lateral (values (o.id, o.user_id), (n.id, n.user_id)) as c (id, user_id)
        where o.* is distinct from n.*;
    else
        perform ogcache.record_change('conversation',
            conversation_ids => array_agg(c.id), user_ids => array_agg(c.user_id))
        from changed c;
    end if;
    return null;
end
$$;

-- A message's conversation belongs to whoever owns it when the entry is read:
-- an owner that is looked up here could be one who is just losing it. What
-- ownership changes is recorded by the conversation's own row.
create function ogcache.record_messages() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'TRUNCATE' then
        perform ogcache.record_all('conversation');
    elsif tg_op = 'UPDATE' then
        perform ogcache.record_change('conversation', conversation_ids => array_agg(m.conversation_id))
        from old_rows o full join new_rows n on n.id = o.id
        cross join lateral (values (o.conversation_id), (n.conversation_id)) as m (conversation_id)
        where o.* is distinct from n.*;
    else
        perform ogcache.record_change('conversation', conversation_ids => array_agg(m.conversation_id))
        from changed m;
    end if;
    return null;
end
$$;

create function ogcache.record_menu_items() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'TRUNCATE' then
        perform ogcache.record_all('menu');
    elsif tg_op = 'UPDATE' then
        insert into ogcache.outbox (entity)
        select 'menu' where exists (
            select from old_rows o full join new_rows n on n.id = o.id where o.* is distinct from n.*);
    else
        insert into ogcache.outbox (entity) select 'menu' where exists (select from changed);
    end if;
    return null;
end
$$;

create function ogcache.record_sessions() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'TRUNCATE' then
        perform ogcache.record_all('session');
    elsif tg_op = 'UPDATE' then
        perform ogcache.record_change('session', token_digests => array_agg(s.token_digest))
        from old_rows o full join new_rows n on n.token_digest = o.token_digest
        cross join lateral (values (o.token_digest), (n.token_digest)) as s (token_digest)
        where o.* is distinct from n.*;
    else
        perform ogcache.record_change('session', token_digests => array_agg(s.token_digest))
        from changed s;
    end if;
    return null;
end
$$;

-- A logout is recorded before the auth service is asked, which answers within
-- seconds; until then readers may cache the session again. So the entry is due
-- only after that, should the request that asked not live to drop the key.
create function ogcache.record_revocations() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into ogcache.outbox (entity, token_digests, created_at)
    select 'session', array_agg(token_digest), clock_timestamp() + interval '10 seconds'
    from changed having count(*) > 0;
    return null;
end
$$;

do $$
declare
    name text;
begin
    foreach name in array array['users', 'conversations', 'messages', 'menu_items', 'sessions'] loop
        execute format('create trigger outbox_insert after insert on ogcache.%1$I '
            'referencing new table as changed for each statement execute function ogcache.record_%1$s()', name);
        execute format('create trigger outbox_update after update on ogcache.%1$I '
            'referencing old table as old_rows new table as new_rows for each statement execute function ogcache.record_%1$s()', name);
        execute format('create trigger outbox_delete after delete on ogcache.%1$I '
            'referencing old table as changed for each statement execute function ogcache.record_%1$s()', name);
        execute format('create trigger outbox_truncate after truncate on ogcache.%1$I '
            'for each statement execute function ogcache.record_%1$s()', name);
    end loop;
end
$$;

create trigger outbox_insert after insert on ogcache.revocations
    referencing new table as changed for each statement execute function ogcache.record_revocations();
create trigger outbox_update after update on ogcache.revocations
    referencing new table as changed for each statement execute function ogcache.record_revocations();

revoke execute on all functions in schema ogcache from public;

insert into ogcache.outbox_coverage (since) values (clock_timestamp());
