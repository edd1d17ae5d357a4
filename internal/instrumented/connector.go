package instrumented

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// dialTimeout bounds TCP, TLS and authentication together. They run in the
// background, never on a request's clock.
const dialTimeout = 2 * time.Second

// Dialer opens a connection to a Redis server.
type Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// connector opens connections for the pool. go-redis detaches dialling from
// the request that asked for it, but would authenticate on that request's
// clock; so the handshake is done here, as part of dialling.
type connector struct {
	RedisOptions
	redis *Redis
}

// errReplica is returned for a server that is no master where only a master
// will do: what it holds may be older than an invalidation.
var errReplica = errors.New("the server is a replica, not the master")

func (d connector) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	dial := d.Dial
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	conn, err := dial(ctx, network, addr)
	if err != nil || d.TLS == nil {
		return conn, err
	}
	cfg := d.TLS.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(addr)
	}
	secured := tls.Client(conn, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS to Redis at %s: %w", addr, err)
	}
	return secured, nil
}

// connectAndGreet returns a connection that is ready for commands, to a server
// whose identity has been told.
func (d connector) connectAndGreet(ctx context.Context, network, addr string) (net.Conn, error) {
	deadline := time.Now().Add(dialTimeout)
	conn, err := d.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	server, err := d.greet(conn, deadline)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("greeting Redis at %s: %w", addr, err)
	}
	if server.mode != "sentinel" {
		d.redis.meet(addr, server)
	}
	return d.redis.track(conn, server), nil
}

// greet authenticates, selects the database, measures the round trip and
// learns who the server is.
func (d connector) greet(conn net.Conn, deadline time.Time) (s server, err error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return s, err
	}
	replies := bufio.NewReader(conn)
	do := func(args ...string) (string, error) { return exchange(conn, replies, args...) }
	if s, err = d.identify(do); err != nil {
		return s, err
	}
	start := time.Now()
	if _, err := do("PING"); err != nil {
		return s, err
	}
	took := time.Since(start)
	if s.mode == "sentinel" {
		return s, conn.SetDeadline(time.Time{})
	}
	if s.role == "slave" && s.mode != "cluster" {
		return s, errReplica
	}
	d.redis.roundTrip.Store(int64(took))
	if d.DB != 0 {
		if _, err := do("SELECT", strconv.Itoa(d.DB)); err != nil {
			return s, err
		}
	}
	return s, conn.SetDeadline(time.Time{})
}

// identify authenticates and asks the server who it is.
func (d connector) identify(do func(...string) (string, error)) (server, error) {
	auth := []string{"AUTH", d.Password}
	if d.Username != "" {
		auth = []string{"AUTH", d.Username, d.Password}
	}
	if d.Username != "" || d.Password != "" {
		// The dialer of a failover client serves Sentinels too, which may have no
		// password where the master has one.
		if _, err := do(auth...); err != nil && !(d.MasterName != "" && strings.Contains(err.Error(), "without any password")) {
			return server{}, err
		}
	}
	return whois(do)
}

// server is what a server tells about itself; what it does not tell is "".
type server struct {
	// identity changes when the server is restarted, and when it becomes a
	// master: it is the run id with the replication id.
	identity string
	mode     string // standalone, cluster or sentinel
	role     string // master or slave
}

// whois asks a server who it is. One that offers no INFO, or not to this user,
// is asked in vain, which is no error.
func whois(do func(...string) (string, error)) (s server, err error) {
	told := make(map[string]string)
	for _, section := range []string{"server", "replication"} {
		text, err := do("INFO", section)
		if isReply(err) {
			continue
		}
		if err != nil {
			return s, err
		}
		for line := range strings.Lines(text) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				told[name] = value
			}
		}
	}
	s.mode, s.role = told["redis_mode"], told["role"]
	if told["run_id"] != "" {
		s.identity = told["run_id"] + ":" + told["master_replid"]
	}
	return s, nil
}

// replyError is an error that the server replied.
type replyError struct{ command, text string }

func (e *replyError) Error() string { return e.command + ": " + e.text }

func isReply(err error) bool {
	var r *replyError
	return errors.As(err, &r)
}

// maxGreeting bounds what a server may reply to a greeting.
const maxGreeting = 64 << 10

// exchange sends one command (RESP2) and returns its reply: a status, a number
// or a text.
func exchange(w io.Writer, r *bufio.Reader, args ...string) (string, error) {
	if err := writeCommand(w, args); err != nil {
		return "", err
	}
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", fmt.Errorf("%s: an empty reply", args[0])
	}
	switch line[0] {
	case '-':
		return "", &replyError{args[0], line[1:]}
	case '$':
		n, err := strconv.Atoi(line[1:])
		if err != nil || n > maxGreeting {
			return "", fmt.Errorf("%s: a reply of length %.20q", args[0], line[1:])
		}
		if n < 0 {
			return "", nil
		}
		text := make([]byte, n+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return "", err
		}
		return string(text[:n]), nil
	}
	return line[1:], nil
}

func writeCommand(w io.Writer, args []string) error {
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	_, err := w.Write(b)
	return err
}

// greeted spares go-redis the handshake that the connector has done.
type greeted struct{}

func (greeted) DialHook(next redis.DialHook) redis.DialHook { return next }

func (greeted) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "hello" {
			return nil
		}
		return next(ctx, cmd)
	}
}

func (greeted) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
