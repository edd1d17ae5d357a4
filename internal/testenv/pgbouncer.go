package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// bouncerConfig makes many clients share few connections, from transaction to
// transaction. Versions that could keep prepared statements for their clients
// are told not to, as the older ones that people run cannot.
const bouncerConfig = `[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = transaction
default_pool_size = 4
%s`

// PgBouncer starts a pooler in transaction mode before a database that
// Postgres returned, and returns the DSN through it. At most 4 connections
// serve all its clients.
func PgBouncer(tb testing.TB, dsn string) string {
	tb.Helper()
	w := workplaceOf(tb)
	path := pgbouncer.mustFind(tb)
	server, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal("testenv: PgBouncer's database: ", err)
	}
	dir, err := os.MkdirTemp(w.dir, "pgbouncer-")
	if err != nil {
		tb.Fatal("testenv: ", err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	b := bouncer{path: path, dir: dir, server: server}
	if b.owner, err = unprivileged(); err != nil {
		tb.Fatal("testenv: ", err)
	}
	const tries = 5
	for try := 1; ; try++ {
		log, err := b.start(tb.Context())
		if err == nil {
			break
		}
		if try == tries || !errors.Is(err, errExited) || !strings.Contains(log.String(), "Address already in use") {
			tb.Fatalf("testenv: %v\n%s", err, log)
		}
	}
	tb.Cleanup(func() { b.child.stop(syscall.SIGTERM, clusterTimeout) })
	return b.dsn()
}

// bouncer is a PgBouncer of a test's own. Like PostgreSQL it refuses to run as
// root.
type bouncer struct {
	path, dir string
	server    *url.URL // of the database behind it
	owner     *account
	port      int
	child     *child
}

func (b *bouncer) start(ctx context.Context) (*output, error) {
	log, stdout, stderr := newOutput()
	config, err := b.configure()
	if err != nil {
		return log, fmt.Errorf("configuring PgBouncer: %w", err)
	}
	cmd := exec.Command(b.path, config)
	b.owner.own(cmd, b.dir)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if b.child, err = launch(cmd, syscall.SIGKILL); err != nil {
		return log, err
	}
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	err = b.child.ready(ctx, func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, b.dsn())
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
	if err != nil {
		b.child.stop(syscall.SIGKILL, 0)
		return log, fmt.Errorf("PgBouncer on %s did not come up: %w", loopback(b.port), err)
	}
	return log, nil
}

// configure writes the configuration for a free port and returns its path.
func (b *bouncer) configure() (config string, err error) {
	host, port, err := net.SplitHostPort(b.server.Host)
	if err != nil {
		return "", err
	}
	if b.port, err = freePort(); err != nil {
		return "", err
	}
	if err := b.owner.chown(b.dir); err != nil {
		return "", err
	}
	password, _ := b.server.User.Password()
	users := filepath.Join(b.dir, "users")
	if err := b.owner.writeFile(users, fmt.Sprintf("%q %q\n", b.server.User.Username(), password)); err != nil {
		return "", err
	}
	var noPrepared string
	version, err := exec.Command(b.path, "--version").Output()
	if err != nil {
		return "", err
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(version), "PgBouncer %d.%d", &major, &minor); err != nil {
		return "", fmt.Errorf("its version: %w", err)
	}
	if major > 1 || minor >= 21 {
		noPrepared = "max_prepared_statements = 0\n"
	}
	config = filepath.Join(b.dir, "pgbouncer.ini")
	return config, b.owner.writeFile(config, fmt.Sprintf(bouncerConfig, host, port, b.port, users, noPrepared))
}

func (b *bouncer) dsn() string {
	u := *b.server
	u.Host = loopback(b.port)
	return u.String()
}
