package origin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/oglab/ogcache/internal/families"
)

// eachPostgres runs a test over a database with the schema, directly and
// behind a transaction pooler.
func eachPostgres(t *testing.T, test func(*testing.T, *Postgres)) {
	for name, open := range map[string]func(testing.TB) *Postgres{"direct": migratedPostgres, "pgbouncer": pooledPostgres} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// digest returns a token digest of the right length.
func digest(c string) string { return strings.Repeat(c, 43) }

// settle leaves two users who own one conversation each, with everything that
// belongs to them, and an empty outbox.
func settle(t testing.TB, p *Postgres) {
	t.Helper()
	mustExec(t, p, `truncate ogcache.users, ogcache.menu_items, ogcache.revocations cascade`)
	mustExec(t, p, `insert into ogcache.users (id, telegram_id, name, language) values ('u1', 't1', 'A', 'en'), ('u2', 't2', 'B', 'en')`)
	mustExec(t, p, `insert into ogcache.conversations (id, user_id, title) values ('c1', 'u1', 'x'), ('c2', 'u2', 'y')`)
	mustExec(t, p, `insert into ogcache.messages (id, conversation_id, role, text) values ('m1', 'c1', 'user', 'hi'), ('m2', 'c2', 'user', 'hi')`)
	mustExec(t, p, `insert into ogcache.menu_items (id, position, category, name, price_cents) values ('i1', 1, 'x', 'y', 1), ('i2', 2, 'x', 'z', 2)`)
	mustExec(t, p, `insert into ogcache.sessions (token_digest, user_id, expires_at) values ($1, 'u1', now() + interval '1 hour')`, digest("a"))
	mustExec(t, p, "delete from ogcache.outbox")
}

// pending returns the keys that the outbox wants dropped and, after a plus, the
// families that it wants cleared, sorted, each once.
func pending(t testing.TB, p *Postgres) []string {
	t.Helper()
	changes, more, err := p.PendingChanges(context.WithoutCancel(t.Context()), 1_000_000)
	if err != nil || more {
		t.Fatalf("pending changes: more %v, %v", more, err)
	}
	return outdated(changes)
}

func outdated(changes []families.Change) []string {
	var all []string
	for _, c := range changes {
		for _, k := range c.Keys() {
			all = append(all, k.String())
		}
		if c.All {
			for _, f := range c.Families() {
				all = append(all, "+"+f.Name)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func user(id string) []string { return []string{"user:profile:" + id, "agent:context:" + id} }
func telegram(id string) []string {
	return []string{"user:telegram:" + id}
}
func owner(id string) []string {
	return []string{"conversations:user:" + id, "agent:context:" + id}
}
func conversation(id string) []string { return []string{"conversation:" + id} }
func session(c string) []string       { return []string{"auth:token:" + digest(c)} }

// TestTriggersRecord checks for each table and operation what is to be dropped
// then, whoever wrote.
func TestTriggersRecord(t *testing.T) {
	p := migratedPostgres(t)
	newUser := `insert into ogcache.users (id, telegram_id, name, language) values `
	everyone := slices.Concat(user("u1"), telegram("t1"), user("u2"), telegram("t2"))
	for name, test := range map[string]struct {
		sql  string
		want []string
	}{
		"a user":                   {newUser + `('u3', 't3', 'C', 'en')`, slices.Concat(user("u3"), telegram("t3"))},
		"a user without Telegram":  {newUser + `('u3', null, 'C', 'en')`, user("u3")},
		"users":                    {newUser + `('u3', null, 'C', 'en'), ('u4', 't4', 'D', 'en')`, slices.Concat(user("u3"), user("u4"), telegram("t4"))},
		"a user there already":     {newUser + `('u1', 't9', 'C', 'en') on conflict (id) do nothing`, nil},
		"an upserted user":         {newUser + `('u1', 't9', 'C', 'en') on conflict (id) do update set telegram_id = excluded.telegram_id`, slices.Concat(user("u1"), telegram("t1"), telegram("t9"))},
		"a renamed user":           {`update ogcache.users set name = 'Z' where id = 'u1'`, slices.Concat(user("u1"), telegram("t1"))},
		"a moved Telegram id":      {`update ogcache.users set telegram_id = 't9' where id = 'u1'`, slices.Concat(user("u1"), telegram("t1"), telegram("t9"))},
		"a Telegram id given up":   {`update ogcache.users set telegram_id = null where id = 'u1'`, slices.Concat(user("u1"), telegram("t1"))},
		"a user's new id":          {newUser + `('u3', null, 'C', 'en'); update ogcache.users set id = 'u4' where id = 'u3'`, slices.Concat(user("u3"), user("u4"))},
		"all users":                {`update ogcache.users set language = 'de'`, everyone},
		"one of two users changes": {`update ogcache.users set name = 'A'`, slices.Concat(user("u2"), telegram("t2"))},
		"users who stay the same":  {`update ogcache.users set name = name, updated_at = updated_at`, nil},
		"no user":                  {`update ogcache.users set name = 'Z' where id = 'u7'; delete from ogcache.users where id = 'u7'`, nil},
		"a user with everything": {`delete from ogcache.users where id = 'u1'`,
			slices.Concat(user("u1"), telegram("t1"), conversation("c1"), owner("u1"), session("a"))},
		"truncated users": {`truncate ogcache.users cascade`,
			[]string{"+agent_context", "+auth_token", "+conversation", "+conversation_list", "+user_profile", "+user_telegram"}},

		"a conversation":         {`insert into ogcache.conversations (id, user_id, title) values ('c3', 'u1', 'x')`, slices.Concat(conversation("c3"), owner("u1"))},
		"a title":                {`update ogcache.conversations set title = 'z' where id = 'c1'`, slices.Concat(conversation("c1"), owner("u1"))},
		"a new owner":            {`update ogcache.conversations set user_id = 'u2' where id = 'c1'`, slices.Concat(conversation("c1"), owner("u1"), owner("u2"))},
		"the same title":         {`update ogcache.conversations set title = title`, nil},
		"a conversation deleted": {`delete from ogcache.conversations where id = 'c1'`, slices.Concat(conversation("c1"), owner("u1"))},
		"truncated conversations": {`truncate ogcache.conversations cascade`,
			[]string{"+agent_context", "+conversation", "+conversation_list"}},

		"a message":            {`insert into ogcache.messages (id, conversation_id, role, text) values ('m3', 'c1', 'user', 'x')`, slices.Concat(conversation("c1"), owner("u1"))},
		"a corrected message":  {`update ogcache.messages set text = 'x' where id = 'm1'`, slices.Concat(conversation("c1"), owner("u1"))},
		"a message elsewhere":  {`update ogcache.messages set conversation_id = 'c2' where id = 'm1'`, slices.Concat(conversation("c1"), owner("u1"), conversation("c2"), owner("u2"))},
		"the same message":     {`update ogcache.messages set text = text`, nil},
		"a message deleted":    {`delete from ogcache.messages where id = 'm1'`, slices.Concat(conversation("c1"), owner("u1"))},
		"truncated messages":   {`truncate ogcache.messages`, []string{"+agent_context", "+conversation", "+conversation_list"}},
		"a message, its owner": {`delete from ogcache.messages where id = 'm1'; delete from ogcache.conversations where id = 'c1'`, slices.Concat(conversation("c1"), owner("u1"))},

		"an item":        {`insert into ogcache.menu_items (id, position, category, name, price_cents) values ('i3', 3, 'x', 'y', 1)`, []string{"menu:items"}},
		"prices":         {`update ogcache.menu_items set price_cents = price_cents + 1`, []string{"menu:items"}},
		"the same items": {`update ogcache.menu_items set price_cents = price_cents`, nil},
		"no item":        {`delete from ogcache.menu_items where id = 'i9'`, nil},
		"items deleted":  {`delete from ogcache.menu_items`, []string{"menu:items"}},
		"truncated menu": {`truncate ogcache.menu_items`, []string{"+menu_items", "menu:items"}},

		"a login":             {`insert into ogcache.sessions (token_digest, user_id, expires_at) values ('` + digest("b") + `', 'u2', now())`, session("b")},
		"a logout":            {`update ogcache.sessions set revoked_at = now()`, session("a")},
		"the same session":    {`update ogcache.sessions set revoked_at = revoked_at`, nil},
		"a session's new key": {`update ogcache.sessions set token_digest = '` + digest("c") + `'`, slices.Concat(session("a"), session("c"))},
		"a session deleted":   {`delete from ogcache.sessions`, session("a")},
		"truncated sessions":  {`truncate ogcache.sessions`, []string{"+auth_token"}},
		"a logout elsewhere":  {`insert into ogcache.revocations (token_digest) values ('` + digest("d") + `')`, session("d")},
		"revocations pruned":  {`delete from ogcache.revocations`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			settle(t, p)
			for sql := range strings.SplitSeq(test.sql, "; ") {
				mustExec(t, p, sql)
			}
			slices.Sort(test.want)
			if got := pending(t, p); !slices.Equal(got, slices.Compact(test.want)) {
				t.Errorf("outdates\n%v, want\n%v", got, test.want)
			}
		})
	}
}

// TestBulkChangesAreFewEntries: the menu once per statement, 500 ids per entry.
func TestBulkChangesAreFewEntries(t *testing.T) {
	p := migratedPostgres(t)
	settle(t, p)
	mustExec(t, p, `update ogcache.menu_items set price_cents = 9`)
	if n := queryStrings(t, p, "select count(*)::text from ogcache.outbox"); n[0] != "1" {
		t.Errorf("a change of two items made %s entries", n[0])
	}
	const users = 5000
	mustExec(t, p, `insert into ogcache.users (id, telegram_id, name, language)
select 'user_' || n, 'tg' || n, 'x', 'en' from generate_series(1, $1) n`, users)
	mustExec(t, p, "delete from ogcache.outbox")
	mustExec(t, p, "update ogcache.users set bio = 'new' where id like 'user%'")
	sizes := queryStrings(t, p, "select cardinality(user_ids || telegram_ids)::text from ogcache.outbox")
	if len(sizes) != 2*users/500 {
		t.Errorf("%d entries, want %d", len(sizes), 2*users/500)
	}
	for _, size := range sizes {
		if size != "500" {
			t.Errorf("an entry of %s ids", size)
		}
	}
	var want []string
	for n := 1; n <= users; n++ {
		want = append(want, user(fmt.Sprint("user_", n))...)
		want = append(want, telegram(fmt.Sprint("tg", n))...)
	}
	slices.Sort(want)
	if got := pending(t, p); !slices.Equal(got, want) {
		t.Errorf("%d keys are outdated, want those %d", len(got), len(want))
	}
}

func TestWhatIsRolledBackIsNotRecorded(t *testing.T) {
	eachPostgres(t, func(t *testing.T, p *Postgres) {
		settle(t, p)
		tx, err := p.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{
			`update ogcache.users set name = 'Z' where id = 'u1'`,
			"savepoint s", `update ogcache.users set name = 'Z' where id = 'u2'`, "rollback to s",
		} {
			if _, err := tx.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		if got := pending(t, p); got != nil {
			t.Errorf("before the commit others see %v", got)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := slices.Concat(telegram("t1"), user("u1"))
		slices.Sort(want)
		if got := pending(t, p); !slices.Equal(got, want) {
			t.Errorf("outdates %v, want %v", got, want)
		}
	})
}

// TestOwnerWhoIsLosingTheConversation adds a message in a transaction that
// cannot see the new owner yet.
func TestOwnerWhoIsLosingTheConversation(t *testing.T) {
	p := migratedPostgres(t)
	settle(t, p)
	ctx := t.Context()
	moving, err := p.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer moving.Rollback(context.WithoutCancel(ctx))
	if _, err := moving.Exec(ctx, "update ogcache.conversations set user_id = 'u2' where id = 'c1'"); err != nil {
		t.Fatal(err)
	}
	adding, err := p.pool.BeginTx(ctx, pgx.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer adding.Rollback(context.WithoutCancel(ctx))
	if _, err := adding.Exec(ctx, "insert into ogcache.messages (id, conversation_id, role, text) values ('m3', 'c1', 'user', 'x')"); err != nil {
		t.Fatal(err)
	}
	if err := moving.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	mustExec(t, p, "delete from ogcache.outbox") // the move has been delivered
	if err := adding.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(owner("u2"), conversation("c1"))
	slices.Sort(want)
	if got := pending(t, p); !slices.Equal(got, want) {
		t.Errorf("outdates %v, want %v", got, want)
	}
}

// TestMigrateADatabaseInUse brings the outbox to a database with data.
func TestMigrateADatabaseInUse(t *testing.T) {
	p, _ := openPostgres(t, PostgresOptions{})
	ctx := t.Context()
	steps, err := readMigrations(migrationFiles)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.migrate(ctx, steps[:1]); err != nil {
		t.Fatal(err)
	}
	id := mustSeed(t, p, Population{Users: 3, Seed: 1})[0]
	if applied, err := p.Migrate(ctx); err != nil || !slices.Contains(applied, "0002_outbox") {
		t.Fatalf("applied %v, %v", applied, err)
	}
	if got := pending(t, p); got != nil {
		t.Errorf("what was there is recorded: %v", got)
	}
	if _, complete, err := p.DeliveredChanges(ctx, families.LongestLifetime(), 100); err != nil || complete {
		t.Errorf("it claims to know of changes before it was there: %v, %v", complete, err)
	}
	if _, _, err := p.AddMessage(ctx, id.Conversations[0], id.UserID, "user", "hi"); err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(owner(id.UserID), conversation(id.Conversations[0]))
	slices.Sort(want)
	if got := pending(t, p); !slices.Equal(got, want) {
		t.Errorf("outdates %v, want %v", got, want)
	}
}
