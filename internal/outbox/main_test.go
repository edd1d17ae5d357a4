package outbox_test

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/origin"
	"github.com/oglab/ogcache/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// database is an origin with its outbox, and SQL past it.
type database struct {
	*origin.Postgres
	sql *pgxpool.Pool
}

// eachDatabase runs a test over PostgreSQL, directly and behind a pooler.
func eachDatabase(t *testing.T, test func(*testing.T, database)) {
	for name, through := range map[string]func(testing.TB, string) string{
		"direct":    func(_ testing.TB, dsn string) string { return dsn },
		"pgbouncer": testenv.PgBouncer,
	} {
		t.Run(name, func(t *testing.T) {
			dsn := testenv.Postgres(t)
			sql, err := pgxpool.New(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(sql.Close)
			p, err := origin.OpenPostgres(t.Context(), through(t, dsn), origin.PostgresOptions{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			if _, err := p.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			test(t, database{p, sql})
		})
	}
}

func (d database) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := d.sql.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// create makes a profile and returns the keys that this outdates.
func (d database) create(t testing.TB, id string) []string {
	t.Helper()
	change, err := d.CreateProfile(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return names(change.Keys())
}

func names(keys []families.Key) []string {
	var all []string
	for _, k := range keys {
		all = append(all, k.String())
	}
	slices.Sort(all)
	return all
}

// cache records what it is told to drop and to clear. Its zero value works.
type cache struct {
	mu      sync.Mutex
	err     error // of the next drops
	tries   int
	dropped []families.Key
	largest int // batch
	cleared []*families.Family
}

func (c *cache) Drop(_ context.Context, keys []families.Key) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tries++
	if c.err != nil {
		return c.err
	}
	c.dropped = append(c.dropped, keys...)
	c.largest = max(c.largest, len(keys))
	return nil
}

func (c *cache) Clear(_ context.Context, whole []*families.Family) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cleared = append(c.cleared, whole...)
	return nil
}

func (c *cache) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// take returns the keys that were dropped since it was last called, sorted.
func (c *cache) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.dropped = nil }()
	return names(c.dropped)
}

func (c *cache) takeCleared() []*families.Family {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.cleared = nil }()
	return c.cleared
}

func (c *cache) tried() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tries
}

// eventually waits for what has to become true.
func eventually(t testing.TB, what string, true func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !true() {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
