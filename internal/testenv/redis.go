package testenv

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisServer is a redis-server of the test's own. Its methods fail the test
// when they cannot do what they say, so call them from the test's goroutine.
type RedisServer struct {
	// Addr is host:port on loopback, the same after Kill and Start.
	Addr string
	// CA trusts the server's certificate and CAFile is the same as a PEM file.
	// Both are empty for a server without TLS.
	CA     *x509.CertPool
	CAFile string

	tb     testing.TB
	path   string
	args   []string
	child  *child
	output *output
}

// Redis starts a redis-server without persistence on a free port. The
// arguments override its settings ("--requirepass", "secret") or add users
// ("--user", "app", "on", ">secret", "~*", "+get").
func Redis(tb testing.TB, args ...string) *RedisServer {
	tb.Helper()
	s := &RedisServer{tb: tb, path: redisServer.mustFind(tb)}
	dir := tb.TempDir()
	s.serve(func(port int) []string {
		return slices.Concat(settings(dir), []string{"--port", strconv.Itoa(port)}, args)
	})
	return s
}

// RedisTLS is like Redis, but the server speaks TLS only.
func RedisTLS(tb testing.TB, args ...string) *RedisServer {
	tb.Helper()
	path := redisServer.mustFind(tb)
	dir := tb.TempDir()
	cert, err := newCertificate(dir)
	if err != nil {
		tb.Fatal("testenv: ", err)
	}
	s := &RedisServer{tb: tb, path: path, CA: cert.pool, CAFile: cert.caFile}
	s.serve(func(port int) []string {
		return slices.Concat(settings(dir), []string{
			"--port", "0", "--tls-port", strconv.Itoa(port), "--tls-auth-clients", "no",
			"--tls-ca-cert-file", cert.caFile, "--tls-cert-file", cert.certFile, "--tls-key-file", cert.keyFile,
		}, args)
	})
	return s
}

// settings are those of a server that keeps its data in memory.
func settings(dir string) []string {
	return []string{"--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no", "--loglevel", "warning"}
}

// serve starts the server for the first time, on whichever port it gets.
func (s *RedisServer) serve(args func(port int) []string) {
	s.tb.Helper()
	const tries = 5
	for try := 1; ; try++ {
		port, err := freePort()
		if err != nil {
			s.tb.Fatal("testenv: redis-server: ", err)
		}
		s.Addr = loopback(port)
		s.args = args(port)
		err = s.start()
		if err == nil {
			break
		}
		if try == tries || !errors.Is(err, errExited) || !strings.Contains(s.output.String(), "Address already in use") {
			s.tb.Fatalf("testenv: %v\n%s", err, s.output)
		}
	}
	s.tb.Cleanup(func() { s.child.stop(syscall.SIGKILL, time.Minute) })
}

func (s *RedisServer) start() error {
	cmd := exec.Command(s.path, s.args...)
	out, stdout, stderr := newOutput()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	child, err := launch(cmd, syscall.SIGKILL)
	s.output = out
	if err != nil {
		return err
	}
	s.child = child
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := child.ready(ctx, s.answers); err != nil {
		child.stop(syscall.SIGKILL, time.Minute)
		return fmt.Errorf("redis-server on %s did not come up: %w", s.Addr, err)
	}
	return nil
}

// patience bounds waiting for servers to agree with each other.
const patience = time.Minute

// wait asks check until it returns nil; what completes "waiting for the server".
func (s *RedisServer) wait(what string, check func(context.Context) error) {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.child.ready(ctx, check); err != nil {
		s.tb.Fatalf("testenv: waiting for redis-server on %s %s: %v\n%s", s.Addr, what, err, s.output)
	}
}

// answers returns nil when the server answers PING, be it by asking for a
// password.
func (s *RedisServer) answers(ctx context.Context) error {
	var dialer interface {
		DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	} = &net.Dialer{}
	if s.CA != nil {
		dialer = &tls.Dialer{Config: s.tlsConfig()}
	}
	conn, err := dialer.DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	reply, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(reply, "+PONG") && !strings.HasPrefix(reply, "-NOAUTH") {
		return fmt.Errorf("PING was answered with %q", reply)
	}
	return nil
}

// Start starts the server again after Kill, on the same port and with what it
// had saved to disk.
func (s *RedisServer) Start() {
	s.tb.Helper()
	select {
	case <-s.child.exited:
	default:
		s.tb.Fatal("testenv: redis-server is running already")
	}
	if err := s.start(); err != nil {
		s.tb.Fatalf("testenv: %v\n%s", err, s.output)
	}
}

// Snapshot saves the keys to disk. A Start after a Kill brings them back as
// they are now, whatever became of them in between.
func (s *RedisServer) Snapshot() {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Client(s.tb).Save(ctx).Err(); err != nil {
		s.tb.Fatalf("testenv: saving the keys of redis-server on %s: %v", s.Addr, err)
	}
}

// Kill ends the server with SIGKILL; its port refuses connections afterwards.
func (s *RedisServer) Kill() {
	s.tb.Helper()
	if err := s.child.signal(syscall.SIGKILL); err != nil {
		s.tb.Fatal("testenv: ", err)
	}
	<-s.child.exited
}

// Pause stops the server (SIGSTOP): connections are accepted by the kernel,
// nothing is answered.
func (s *RedisServer) Pause() {
	s.tb.Helper()
	if err := s.child.signal(syscall.SIGSTOP); err != nil {
		s.tb.Fatal("testenv: ", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := s.child.ready(ctx, func(context.Context) error {
		state, err := s.child.state()
		if err == nil && state != "T" {
			err = fmt.Errorf("its state is %s", state)
		}
		return err
	})
	if err != nil {
		s.tb.Fatal("testenv: redis-server did not stop: ", err)
	}
}

// Resume lets a paused server go on (SIGCONT).
func (s *RedisServer) Resume() {
	s.tb.Helper()
	if err := s.child.signal(syscall.SIGCONT); err != nil {
		s.tb.Fatal("testenv: ", err)
	}
}

// Client returns a plain client of the server, with go-redis's defaults. It is
// closed when the test ends.
func (s *RedisServer) Client(tb testing.TB) *redis.Client {
	tb.Helper()
	return s.clientAs(tb, "")
}

func (s *RedisServer) clientAs(tb testing.TB, password string) *redis.Client {
	tb.Helper()
	o := &redis.Options{
		Addr: s.Addr, Password: password, DisableIdentity: true, ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if s.CA != nil {
		o.TLSConfig = s.tlsConfig()
	}
	client := redis.NewClient(o)
	tb.Cleanup(func() { closeClient(tb, client) })
	return client
}

func closeClient(tb testing.TB, client io.Closer) {
	tb.Helper()
	if err := client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		tb.Errorf("closing a client of Redis: %v", err)
	}
}

func (s *RedisServer) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: s.CA, MinVersion: tls.VersionTLS12}
}
