package origin

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/oglab/ogcache/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// openPostgres returns an origin over a fresh database without a schema.
func openPostgres(tb testing.TB, o PostgresOptions) (*Postgres, string) {
	tb.Helper()
	dsn := testenv.Postgres(tb)
	p, err := OpenPostgres(tb.Context(), dsn, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p, dsn
}

// migratedPostgres returns an origin over a fresh database with the schema.
func migratedPostgres(tb testing.TB) *Postgres {
	tb.Helper()
	p, _ := openPostgres(tb, PostgresOptions{})
	if _, err := p.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return p
}

// pooledPostgres returns an origin over a fresh database with the schema,
// behind PgBouncer in transaction mode.
func pooledPostgres(tb testing.TB) *Postgres {
	tb.Helper()
	p, err := OpenPostgres(tb.Context(), testenv.PgBouncer(tb, testenv.Postgres(tb)), PostgresOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	if _, err := p.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return p
}

func mustExec(tb testing.TB, p *Postgres, sql string, args ...any) {
	tb.Helper()
	if _, err := p.pool.Exec(tb.Context(), sql, args...); err != nil {
		tb.Fatal(err)
	}
}

func queryStrings(tb testing.TB, p *Postgres, sql string, args ...any) []string {
	tb.Helper()
	rows, _ := p.pool.Query(context.WithoutCancel(tb.Context()), sql, args...)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		tb.Fatal(err)
	}
	return all
}
