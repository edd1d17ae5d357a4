package origin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestWriterNeedsNoRightsOnTheOutbox writes as a role that may write users
// only, and tries to get at the outbox.
func TestWriterNeedsNoRightsOnTheOutbox(t *testing.T) {
	p := migratedPostgres(t)
	settle(t, p)
	ctx := t.Context()
	mustExec(t, p, `do $$ begin
    execute format('create role %I', current_database() || '_writer');
    execute format('grant usage on schema ogcache to %I', current_database() || '_writer');
    execute format('grant select, insert, update, delete on ogcache.users to %I', current_database() || '_writer');
    execute format('grant create on schema public to %I', current_database() || '_writer');
end $$`)
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	exec := func(sql string) error {
		_, err := conn.Exec(ctx, sql)
		return err
	}
	for _, sql := range []string{
		"do $$ begin execute format('set role %I', current_database() || '_writer'); end $$",
		// What is first on the caller's path must not be called with the owner's rights.
		"create function public.record_change(text, text[], text[], text[], text[]) returns void language sql as 'select 1/0'",
		"create temp table changed (id text, telegram_id text)",
		"create temp table outbox (id text)",
		"set search_path = pg_temp, public, pg_catalog, ogcache",
		"insert into ogcache.users (id, telegram_id, name, language) values ('u3', 't3', 'x', 'en')",
		"update ogcache.users set telegram_id = 't4' where id = 'u3'",
		"delete from ogcache.users where id = 'u3'",
	} {
		if err := exec(sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{
		"select from ogcache.outbox", "insert into ogcache.outbox (entity) values ('menu')", "delete from ogcache.outbox",
		"select ogcache.record_change('user', '{x}')", "select ogcache.record_all('user')",
		"insert into ogcache.trusted_servers (identity) values ('x')",
	} {
		if err := exec(sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v, want permission denied", sql, err)
		}
	}
	if err := exec("reset role"); err != nil {
		t.Fatal(err)
	}
	if err := exec("reset search_path"); err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(user("u3"), telegram("t3"), telegram("t4"))
	slices.Sort(want)
	if got := pending(t, p); !slices.Equal(got, want) {
		t.Errorf("outdates %v, want %v", got, want)
	}
}

func TestTriggerFunctionsAreSafe(t *testing.T) {
	p := migratedPostgres(t)
	if unsafe := queryStrings(t, p, `
select f.oid::regprocedure::text from pg_proc f
where f.pronamespace = 'ogcache'::regnamespace
  and (has_function_privilege('public', f.oid, 'execute')
       or f.prorettype = 'trigger'::regtype and not f.prosecdef
       or f.prosecdef and f.proconfig is distinct from array['search_path=pg_catalog, pg_temp'])`); len(unsafe) > 0 {
		t.Errorf("anybody may execute it, or it has no fixed search_path: %v", unsafe)
	}
	n := queryStrings(t, p, `select count(*)::text from pg_trigger where tgname like 'outbox\_%'`)
	if n[0] != fmt.Sprint(outboxTriggers) {
		t.Errorf("there are %s triggers, the program knows %d", n[0], outboxTriggers)
	}
}
