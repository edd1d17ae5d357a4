-- Ids are compared byte by byte, as the program does.

create table ogcache.users (
    id          text collate "C" primary key,
    telegram_id text collate "C" constraint users_telegram_id_key unique,
    name        text not null,
    language    text not null,
    bio         text not null default '',
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);

create table ogcache.conversations (
    id         text collate "C" primary key,
    user_id    text collate "C" not null references ogcache.users on delete cascade,
    title      text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- Serves a user's list, newest first, and each user's latest activity.
create index conversations_user_id_updated_at on ogcache.conversations (user_id, updated_at desc);

create table ogcache.messages (
    id              text collate "C" primary key,
    conversation_id text collate "C" not null references ogcache.conversations on delete cascade,
    role            text not null check (role in ('user', 'assistant')),
    text            text not null,
    created_at      timestamptz not null default now()
);

create index messages_conversation_id_created_at on ogcache.messages (conversation_id, created_at, id);

create table ogcache.menu_items (
    id          text collate "C" primary key,
    position    integer not null,
    category    text not null,
    name        text not null,
    description text not null default '',
    price_cents integer not null check (price_cents >= 0)
);

-- A token itself is never stored: token_digest is the SHA-256 of the whole
-- token in unpadded base64url, as in the keys of the cache.
create table ogcache.sessions (
    token_digest text collate "C" primary key check (length(token_digest) = 43),
    user_id      text collate "C" not null references ogcache.users on delete cascade,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz not null,
    revoked_at   timestamptz
);

create index sessions_user_id on ogcache.sessions (user_id);

-- What the tokens of seeded users are derived from.
create table ogcache.seeds (
    seed       numeric(20) primary key,
    secret     bytea not null check (length(secret) = 32),
    created_at timestamptz not null default now(),
    issued_at  timestamptz not null
);
