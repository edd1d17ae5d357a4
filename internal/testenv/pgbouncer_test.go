package testenv

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestPgBouncerSharesConnections sees the pooler change the connection between
// two transactions of a client, and forget what the client prepared.
func TestPgBouncerSharesConnections(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := PgBouncer(t, Postgres(t))
	connect := func() *pgx.Conn {
		t.Helper()
		config, err := pgx.ParseConfig(dsn)
		if err != nil {
			t.Fatal(err)
		}
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(ctx) })
		return conn
	}
	pid := func(q interface {
		QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	}) (pid int) {
		t.Helper()
		if err := q.QueryRow(ctx, "select pg_backend_pid()").Scan(&pid); err != nil {
			t.Fatal(err)
		}
		return pid
	}
	a, b := connect(), connect()
	first := pid(a)
	if _, err := a.Prepare(ctx, "mine", "select 1"); err != nil {
		t.Fatal(err)
	}
	// b takes the connection that a used, and keeps it until its transaction ends.
	tx, err := b.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx)
	if pid(tx) != first {
		t.Fatal("a connection that is free is not shared")
	}
	if second := pid(a); second == first {
		t.Error("a client has the connection that is in another's transaction")
	}
	var one int
	if err := a.QueryRow(ctx, "mine").Scan(&one); err == nil {
		t.Error("a prepared statement outlived the connection that it was made on")
	}
}
