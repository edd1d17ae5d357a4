package testenv

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestPostgresDatabasesAreSeparate(t *testing.T) {
	t.Parallel()
	connect := func() *pgx.Conn {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	a, b := connect(), connect()
	defer a.Close(t.Context())
	defer b.Close(t.Context())
	if _, err := a.Exec(t.Context(), "CREATE TABLE only_in_a (n int)"); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		conn *pgx.Conn
		want int
	}{"a": {a, 1}, "b": {b, 0}} {
		var n int
		err := tt.conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&n)
		if err != nil || n != tt.want {
			t.Errorf("tables in database %s: got %d, %v, want %d", name, n, err, tt.want)
		}
	}
}

func TestPostgresAsksForThePassword(t *testing.T) {
	t.Parallel()
	config, err := pgx.ParseConfig(Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	config.Password = "wrong"
	if conn, err := pgx.ConnectConfig(t.Context(), config); err == nil {
		conn.Close(t.Context())
		t.Error("a wrong password was accepted")
	}
}

func TestPostgresDropsItsDatabases(t *testing.T) {
	t.Parallel()
	var dsn string
	if got := record(t, func(tb testing.TB) { dsn = Postgres(tb) }); len(got) != 0 {
		t.Fatalf("got failures %q", got)
	}
	if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
		conn.Close(t.Context())
		t.Error("the database outlived its test")
	}
}
