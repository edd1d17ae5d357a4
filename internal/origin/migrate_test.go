package origin

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

func tables(tb testing.TB, p *Postgres) []string {
	tb.Helper()
	return queryStrings(tb, p, `select schemaname || '.' || tablename from pg_tables
where schemaname not in ('pg_catalog', 'information_schema') order by 1`)
}

func TestMigrate(t *testing.T) {
	p, _ := openPostgres(t, PostgresOptions{})
	ctx := t.Context()
	mustExec(t, p, "create table public.users (id int)")
	steps, err := readMigrations(migrationFiles)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range steps {
		names = append(names, m.name)
	}
	if pending, err := p.Pending(ctx); err != nil || !slices.Equal(pending, names) {
		t.Errorf("pending %v, %v; want %v", pending, err, names)
	}
	if got := tables(t, p); len(got) != 1 {
		t.Errorf("looking for pending migrations made %v", got)
	}
	if applied, err := p.Migrate(ctx); err != nil || !slices.Equal(applied, names) {
		t.Fatalf("applied %v, %v; want %v", applied, err, names)
	}
	if pending, err := p.Pending(ctx); err != nil || len(pending) != 0 {
		t.Errorf("pending %v, %v; want none", pending, err)
	}
	if applied, err := p.Migrate(ctx); err != nil || len(applied) != 0 {
		t.Errorf("applied %v, %v; want none", applied, err)
	}
	want := []string{"ogcache.applied_migrations", "ogcache.conversations", "ogcache.menu_items", "ogcache.messages",
		"ogcache.outbox", "ogcache.outbox_coverage", "ogcache.revocations", "ogcache.seeds", "ogcache.sessions",
		"ogcache.trusted_servers", "ogcache.users", "public.users"}
	if got := tables(t, p); !slices.Equal(got, want) {
		t.Errorf("tables %v", got)
	}
}

func TestMigrateTogether(t *testing.T) {
	p, dsn := openPostgres(t, PostgresOptions{})
	// As strict as a database can be by default.
	mustExec(t, p, "do $$ begin execute format('alter database %I set default_transaction_isolation = serializable', current_database()); end $$")
	const migrators = 8
	var mu sync.Mutex
	var applied [][]string
	var wg sync.WaitGroup
	for range migrators {
		wg.Go(func() {
			own, err := OpenPostgres(t.Context(), dsn, PostgresOptions{MaxConns: 1})
			if err != nil {
				t.Error(err)
				return
			}
			defer own.Close()
			names, err := own.Migrate(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(names) > 0 {
				applied = append(applied, names)
			}
		})
	}
	wg.Wait()
	if len(applied) != 1 {
		t.Errorf("%d migrators applied something: %v", len(applied), applied)
	}
}

func TestMigrateRefuses(t *testing.T) {
	cases := map[string]struct {
		migrated bool
		sql      string
		says     string
	}{
		"another's schema":        {false, "create schema ogcache; create table ogcache.users (id int)", "no table applied_migrations"},
		"an empty schema":         {false, "create schema ogcache", "no table applied_migrations"},
		"another's version table": {false, "create schema ogcache; create table ogcache.applied_migrations (id int)", "applied_migrations is another's"},
		"a view in its place":     {false, "create schema ogcache; create view ogcache.applied_migrations as select 1 as version", "no table applied_migrations"},
		"a newer database": {true, `insert into ogcache.applied_migrations (version, name, checksum)
			select max(version) + 1, '9999_future', 'x' from ogcache.applied_migrations`, "9999_future"},
		"a changed migration":  {true, "update ogcache.applied_migrations set checksum = 'x' where version = 1", "0001_origin was applied as another text"},
		"a migration left out": {true, "update ogcache.applied_migrations set version = 7 where version = 1", "another text than this program's 0001_origin"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, _ := openPostgres(t, PostgresOptions{})
			ctx := t.Context()
			if c.migrated {
				if _, err := p.Migrate(ctx); err != nil {
					t.Fatal(err)
				}
			}
			mustExec(t, p, c.sql)
			before := tables(t, p)
			applied, err := p.Migrate(ctx)
			if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), c.says) || applied != nil {
				t.Errorf("applied %v, error %v, want ErrSchema that says %q", applied, err, c.says)
			}
			if _, err := p.Pending(ctx); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("pending: error %v, want ErrSchema that says %q", err, c.says)
			}
			if after := tables(t, p); !slices.Equal(before, after) {
				t.Errorf("tables were %v, are %v", before, after)
			}
		})
	}
}

func TestMigrateAppliesAllOrNothing(t *testing.T) {
	p, _ := openPostgres(t, PostgresOptions{})
	ctx := t.Context()
	steps := []migration{
		{version: 1, name: "0001_good", checksum: "a", sql: "create table ogcache.good (id int); create table ogcache.better (id int)"},
		{version: 2, name: "0002_bad", checksum: "b", sql: "create table ogcache.bad (id nonsense)"},
	}
	if _, err := p.migrate(ctx, steps); err == nil || !strings.Contains(err.Error(), "0002_bad") {
		t.Errorf("error is %v", err)
	}
	if got := tables(t, p); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
	if applied, err := p.migrate(ctx, steps[:1]); err != nil || !slices.Equal(applied, []string{"0001_good"}) {
		t.Errorf("applied %v, error %v", applied, err)
	}
	steps[1].sql = "alter table ogcache.good add name text"
	if applied, err := p.migrate(ctx, steps); err != nil || !slices.Equal(applied, []string{"0002_bad"}) {
		t.Errorf("applied %v, error %v", applied, err)
	}
}

func TestReadMigrations(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	steps, err := readMigrations(fstest.MapFS{
		"migrations/0002_b.sql": file("select 2;\r\n"), "migrations/0001_a.sql": file("select 1;\n"), "migrations/readme": file(""),
	})
	if err != nil || len(steps) != 2 || steps[0].name != "0001_a" || steps[1].version != 2 {
		t.Fatalf("%+v, %v", steps, err)
	}
	unix, err := readMigrations(fstest.MapFS{"migrations/0001_a.sql": file("select 1;\n")})
	dos, err2 := readMigrations(fstest.MapFS{"migrations/0001_a.sql": file("select 1;\r\n")})
	if err != nil || err2 != nil || unix[0].checksum != dos[0].checksum || unix[0].checksum == steps[1].checksum {
		t.Error("a checksum depends on line ends, or not on the content")
	}
	for _, name := range []string{"0002_gap", "1_short", "x", "00001_long"} {
		if _, err := readMigrations(fstest.MapFS{"migrations/" + name + ".sql": file("")}); err == nil {
			t.Errorf("%s was accepted as the first migration", name)
		}
	}
}
