package origin

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrSchema is wrapped by errors about a database whose schema ogcache is not
// one that this program can work with. Nothing has been changed then.
var ErrSchema = errors.New("the schema ogcache does not fit this program")

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrationLock is the key of the advisory lock that migrators take. It is
// arbitrary but fixed.
const migrationLock int64 = 0x6f67_6361_6368_65

// migration is one step of the schema, from a file like 0001_origin.sql.
type migration struct {
	version  int
	name     string // of the file, without .sql
	checksum string // SHA-256 in hex
	sql      string
}

// readMigrations returns the steps in order. Versions count from 1 without a
// gap.
func readMigrations(fsys fs.FS) ([]migration, error) {
	files, err := fs.Glob(fsys, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var steps []migration
	for _, file := range files { // sorted by name
		content, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(path.Base(file), ".sql")
		digits, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(digits)
		if err != nil || len(digits) != 4 || version != len(steps)+1 {
			return nil, fmt.Errorf("migration %s: its name should start with %04d_", name, len(steps)+1)
		}
		// A checkout may have changed the line ends.
		sql := strings.ReplaceAll(string(content), "\r\n", "\n")
		sum := sha256.Sum256([]byte(sql))
		steps = append(steps, migration{version: version, name: name, checksum: hex.EncodeToString(sum[:]), sql: sql})
	}
	return steps, nil
}

// Migrate brings the schema up to date and returns the names of the steps that
// it applied, none when it was. Either all are applied or none. Of several
// migrators at a time one works and the others wait for it. A schema ogcache
// that this program did not make, or a newer one, is an error wrapping
// ErrSchema.
func (p *Postgres) Migrate(ctx context.Context) (applied []string, err error) {
	steps, err := readMigrations(migrationFiles)
	if err != nil {
		return nil, err
	}
	return p.migrate(ctx, steps)
}

// Pending returns the names of the steps that Migrate would apply, or an error
// wrapping ErrSchema if it would refuse.
func (p *Postgres) Pending(ctx context.Context) ([]string, error) {
	steps, err := readMigrations(migrationFiles)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	var pending []string
	schema, err := readSchema(ctx, p.pool)
	if err == nil {
		steps, err = schema.missing(steps)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for pending migrations: %w", err)
	}
	for _, m := range steps {
		pending = append(pending, m.name)
	}
	return pending, nil
}

func (p *Postgres) migrate(ctx context.Context, steps []migration) (applied []string, err error) {
	// With a stricter isolation a migrator that waited for the lock would not see
	// what its predecessor did.
	err = pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "set local lock_timeout = '1min'"); err != nil {
			return err
		}
		// Bound to the transaction: behind a transaction pooler a lock of the session
		// would stay with some other client's connection.
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", migrationLock); err != nil {
			return fmt.Errorf("waiting for another migrator: %w", err)
		}
		schema, err := readSchema(ctx, tx)
		if err != nil {
			return err
		}
		missing, err := schema.missing(steps)
		if err != nil {
			return err
		}
		if !schema.exists {
			if err := createSchema(ctx, tx); err != nil {
				return err
			}
		}
		for _, m := range missing {
			if err := m.apply(ctx, tx); err != nil {
				return fmt.Errorf("migration %s: %w", m.name, err)
			}
			applied = append(applied, m.name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("migrating the schema ogcache: %w", err)
	}
	return applied, nil
}

func (m migration) apply(ctx context.Context, tx pgx.Tx) error {
	// Without arguments a file may hold several statements.
	if _, err := tx.Exec(ctx, m.sql); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "insert into ogcache.applied_migrations (version, name, checksum) values ($1, $2, $3)",
		m.version, m.name, m.checksum)
	return err
}

func createSchema(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `
create schema ogcache;
create table ogcache.applied_migrations (
    version    integer primary key,
    name       text not null,
    checksum   text not null,
    applied_at timestamptz not null default now()
);`)
	return err
}

// schema is what the database says about the schema ogcache.
type schema struct {
	exists  bool
	applied []migration // without their SQL
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func readSchema(ctx context.Context, db querier) (schema, error) {
	var s schema
	var versioned bool
	err := db.QueryRow(ctx, `
select to_regnamespace('ogcache') is not null,
       exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
               where n.nspname = 'ogcache' and c.relname = 'applied_migrations' and c.relkind = 'r')`).
		Scan(&s.exists, &versioned)
	if err != nil || !s.exists {
		return s, err
	}
	const foreign = "it was not made by ogcache, which changes nothing in it; rename that schema or use another database"
	if !versioned {
		return s, fmt.Errorf("%w: it has no table applied_migrations: %s", ErrSchema, foreign)
	}
	rows, _ := db.Query(ctx, "select version, name, checksum from ogcache.applied_migrations order by version")
	s.applied, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m migration, err error) {
		return m, row.Scan(&m.version, &m.name, &m.checksum)
	})
	if refused := new(pgconn.PgError); errors.As(err, &refused) && refused.Code == undefinedColumn {
		return s, fmt.Errorf("%w: its table applied_migrations is another's: %s", ErrSchema, foreign)
	}
	return s, err
}

// missing returns the steps that were not applied yet.
func (s schema) missing(steps []migration) ([]migration, error) {
	for i, done := range s.applied {
		if i >= len(steps) {
			return nil, fmt.Errorf("%w: the database has migration %s, this program knows only %d; use a newer ogcache",
				ErrSchema, done.name, len(steps))
		}
		if done.version != steps[i].version || done.checksum != steps[i].checksum {
			return nil, fmt.Errorf("%w: migration %s was applied as another text than this program's %s; use the ogcache that applied it",
				ErrSchema, done.name, steps[i].name)
		}
	}
	return steps[len(s.applied):], nil
}
