package origin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"
)

const (
	defaultMaxConns     = 16
	defaultQueryTimeout = 5 * time.Second
	connectTimeout      = 5 * time.Second
)

// SQLSTATE codes that callers are told apart.
const (
	uniqueViolation = "23505"
	undefinedColumn = "42703"
)

// PostgresOptions are a Postgres' settings. The zero value works.
type PostgresOptions struct {
	// MaxConns bounds the connections. 0 means pool_max_conns of the connection
	// string, or 16 where that is not given.
	MaxConns int32
	// QueryTimeout bounds each read and write, waiting for a connection
	// included. 0 means 5 s. Seeding and migrating are bounded by their context
	// alone.
	QueryTimeout time.Duration
	// TracerProvider receives a span per query under a recording parent. nil
	// means no spans.
	TracerProvider trace.TracerProvider
}

// Postgres is an origin in a PostgreSQL database, in its schema ogcache. It
// works behind transaction poolers: it uses no named prepared statement and
// keeps no state in a connection. It is safe for concurrent use.
type Postgres struct {
	pool    *pgxpool.Pool
	timeout time.Duration
}

// OpenPostgres connects to a database, given as a URL or as keywords and
// values. It neither reads nor makes the schema: see Migrate and Pending. No
// error shows the password.
func OpenPostgres(ctx context.Context, dsn string, o PostgresOptions) (*Postgres, error) {
	config, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	switch {
	case o.MaxConns > 0:
		config.MaxConns = o.MaxConns
	case !strings.Contains(dsn, "pool_max_conns"):
		config.MaxConns = defaultMaxConns
	}
	config.MaxConnLifetime = 30 * time.Minute
	config.MaxConnLifetimeJitter = 5 * time.Minute
	config.MaxConnIdleTime = 5 * time.Minute
	config.PingTimeout = time.Second
	c := config.ConnConfig
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	// Poolers refuse most other parameters at the start of a connection.
	c.RuntimeParams["application_name"] = "ogcache"
	// One round trip and no prepared statement that a pooler's next connection
	// would not know. (Describing first takes two, which a pooler may split.)
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
	if o.TracerProvider != nil {
		c.Tracer = newQueryTracer(o.TracerProvider, c)
	}
	p := &Postgres{timeout: o.QueryTimeout}
	if p.timeout == 0 {
		p.timeout = defaultQueryTimeout
	}
	if p.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	if err := p.Ping(ctx); err != nil {
		p.pool.Close()
		return nil, err
	}
	return p, nil
}

// parseDSN never shows what it could not read: pgx masks passwords in its
// errors only where it recognises them.
func parseDSN(dsn string) (*pgxpool.Config, error) {
	const hint = "it should look like postgres://user:password@host:5432/database, with every other character " +
		"than letters and digits in the password percent-encoded"
	if strings.Contains(dsn, "://") {
		u, err := url.Parse(dsn)
		// A password with a bare #, ? or / ends the part before @ too early.
		if err != nil || u.User == nil && strings.Contains(dsn, "@") {
			return nil, fmt.Errorf("%w: the PostgreSQL URL cannot be read: %s", ErrInvalid, hint)
		}
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("%w: the PostgreSQL connection string has a part that cannot be used: %s; "+
			"its parameters are those of libpq, and the files they name must exist", ErrInvalid, hint)
	}
	return config, nil
}

// Close ends all connections, once they are idle.
func (p *Postgres) Close() { p.pool.Close() }

// Ping reports whether the database answers.
func (p *Postgres) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	if err := p.pool.Ping(ctx); err != nil {
		return fmt.Errorf("PostgreSQL does not answer: %w", err)
	}
	return nil
}

// statement is a query with what its span is told.
type statement struct {
	operation  string // "SELECT"
	collection string // the table that it is about
	sql        string
}

// selectRows runs a statement in one round trip and returns its rows.
func selectRows[T any](ctx context.Context, p *Postgres, s *statement, scan func(pgx.CollectableRow) (T, error), args ...any) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	rows, _ := p.pool.Query(withStatement(ctx, s), s.sql, args...) // CollectRows returns the error
	all, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return all, nil
}

// selectRow runs a statement in one round trip and returns its only row, or
// ErrNotFound.
func selectRow[T any](ctx context.Context, p *Postgres, s *statement, scan func(pgx.CollectableRow) (T, error), args ...any) (T, error) {
	rows, err := selectRows(ctx, p, s, scan, args...)
	if err == nil && len(rows) == 0 {
		err = s.failed(ctx, ErrNotFound)
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return rows[0], nil
}

// exec runs a statement in one round trip and returns how many rows it wrote.
func (p *Postgres) exec(ctx context.Context, s *statement, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	tag, err := p.pool.Exec(withStatement(ctx, s), s.sql, args...)
	if err != nil {
		return 0, s.failed(ctx, err)
	}
	return tag.RowsAffected(), nil
}

func (s *statement) failed(ctx context.Context, err error) error {
	if refused := new(pgconn.PgError); errors.As(err, &refused) && refused.Code == uniqueViolation {
		err = fmt.Errorf("%w (%s)", ErrConflict, refused.ConstraintName)
	}
	// A connection that is cut on time may report it as an I/O timeout.
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return fmt.Errorf("%s %s: %w", s.operation, s.collection, err)
}
