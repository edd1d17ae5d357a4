package testenv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres returns the DSN of a new, empty database whose owner is a
// superuser. All databases of a test process are in one cluster, which the
// first call starts.
func Postgres(tb testing.TB) string {
	tb.Helper()
	w := workplaceOf(tb)
	w.clusterOnce.Do(func() { w.cluster, w.clusterErr = startCluster(filepath.Join(w.dir, "postgres")) })
	if w.clusterErr != nil {
		tb.Fatal("testenv: ", w.clusterErr)
	}
	name, err := w.cluster.createDatabase(tb.Context())
	if err != nil {
		tb.Fatal("testenv: ", err)
	}
	tb.Cleanup(func() {
		if err := w.cluster.dropDatabase(name); err != nil {
			tb.Errorf("testenv: %v", err)
		}
	})
	return w.cluster.dsn(name)
}

// cluster is a running PostgreSQL server.
type cluster struct {
	child     *child
	port      int
	password  string
	databases atomic.Int64
}

const clusterTimeout = 2 * time.Minute

// startCluster makes a cluster in dir and serves it on a free port.
func startCluster(dir string) (*cluster, error) {
	initdb, err := initdb.find()
	if err != nil {
		return nil, err
	}
	// PATH may hold a link to a single program; its companions are where it points.
	if initdb, err = filepath.EvalSymlinks(initdb); err != nil {
		return nil, err
	}
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), clusterTimeout)
	defer cancel()

	c := &cluster{password: rand.Text()}
	if err := owner.makeDir(dir); err != nil {
		return nil, fmt.Errorf("making PostgreSQL's directory: %w", err)
	}
	passwordFile := filepath.Join(dir, "password")
	if err := owner.writeFile(passwordFile, c.password); err != nil {
		return nil, fmt.Errorf("writing PostgreSQL's password: %w", err)
	}
	data := filepath.Join(dir, "data")
	init := exec.CommandContext(ctx, initdb, "--pgdata", data, "--no-sync", "--encoding=UTF8", "--locale=C",
		"--username=postgres", "--auth=scram-sha-256", "--pwfile", passwordFile)
	owner.own(init, dir)
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("creating a PostgreSQL cluster in %s: %w\n%s", data, err, out)
	}

	const tries = 5
	for try := 1; ; try++ {
		log, err := c.start(ctx, filepath.Join(filepath.Dir(initdb), "postgres"), data, owner)
		if err == nil {
			return c, nil
		}
		if try == tries || !errors.Is(err, errExited) || !strings.Contains(log.String(), "Address already in use") {
			return nil, fmt.Errorf("%w\n%s", err, log)
		}
	}
}

// start serves the cluster. Durability is off: the data lives no longer than
// the process. There is no socket file, whose path could get too long.
func (c *cluster) start(ctx context.Context, postgres, data string, owner *account) (*output, error) {
	log, stdout, stderr := newOutput()
	port, err := freePort()
	if err != nil {
		return log, err
	}
	c.port = port
	cmd := exec.Command(postgres, "-D", data, "-p", strconv.Itoa(port))
	for _, setting := range []string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "full_page_writes=off",
		"max_connections=300", "shared_buffers=64MB", "timezone=UTC",
	} {
		cmd.Args = append(cmd.Args, "-c", setting)
	}
	owner.own(cmd, data)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	// SIGQUIT ends the server's own children too and frees its shared memory.
	if c.child, err = launch(cmd, syscall.SIGQUIT); err != nil {
		return log, err
	}
	err = c.child.ready(ctx, func(ctx context.Context) error {
		return c.exec(ctx, "SELECT 1")
	})
	if err != nil {
		c.stop()
		return log, fmt.Errorf("PostgreSQL on %s did not come up: %w", loopback(port), err)
	}
	return log, nil
}

func (c *cluster) stop() { c.child.stop(syscall.SIGQUIT, 10*time.Second) }

func (c *cluster) dsn(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", c.password),
		Host: loopback(c.port), Path: database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (c *cluster) createDatabase(ctx context.Context) (string, error) {
	name := "test_" + strconv.FormatInt(c.databases.Add(1), 10)
	if err := c.exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", fmt.Errorf("creating database %s: %w", name, err)
	}
	return name, nil
}

func (c *cluster) dropDatabase(name string) error {
	// The test is over, and with it its context.
	ctx, cancel := context.WithTimeout(context.Background(), clusterTimeout)
	defer cancel()
	if err := c.exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("dropping database %s: %w", name, err)
	}
	return nil
}

// exec runs one statement over a connection of its own.
func (c *cluster) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, c.dsn("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// account is whom PostgreSQL runs as. It refuses to run as root; nil is the
// test's own user.
type account struct{ uid, gid uint32 }

func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &account{uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody; run the tests as another user")
}

// own makes cmd run as the account, in dir.
func (a *account) own(cmd *exec.Cmd, dir string) {
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C", "TZ=UTC"}
	if a != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid}}
	}
}

func (a *account) makeDir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return a.chown(path)
}

func (a *account) writeFile(path, content string) error {
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return err
	}
	return a.chown(path)
}

func (a *account) chown(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}
