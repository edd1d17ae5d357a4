package instrumented

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// dialTimeout bounds TCP, TLS and authentication together. They run in the
// background, never on a request's clock.
const dialTimeout = 2 * time.Second

// Dialer opens a connection to a Redis server.
type Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// RedisOptions say where Redis is. Several addresses are the seeds of a
// Cluster, or with MasterName the Sentinels.
type RedisOptions struct {
	Addrs              []string
	Username, Password string
	DB                 int
	TLS                *tls.Config // nil: plain TCP
	MasterName         string      // of the Sentinels' master
	Cluster            bool        // even with one address
	// Dial replaces TCP, for emulated networks; TLS still goes on top.
	Dial Dialer
}

// Redis is a client whose connections are ready for commands when the pool
// hands them out, and that knows how far away its server is.
type Redis struct {
	redis.UniversalClient
	roundTrip *atomic.Int64 // nanoseconds, as last measured while connecting
	address   string        // the first that was given, for spans
}

// RoundTrip returns the round-trip time as measured on the newest connection,
// 0 before the first.
func (r *Redis) RoundTrip() time.Duration { return time.Duration(r.roundTrip.Load()) }

// NewRedis returns a client that connects in the background. It does no I/O.
func NewRedis(o RedisOptions) (*Redis, error) {
	if len(o.Addrs) == 0 {
		return nil, errors.New("redis: no address given")
	}
	roundTrip := new(atomic.Int64)
	u := &redis.UniversalOptions{
		Addrs:                 o.Addrs,
		MasterName:            o.MasterName,
		Protocol:              2,
		DisableIdentity:       true,
		MaxRetries:            -1,
		DialerRetries:         1,
		DialTimeout:           dialTimeout,
		ReadTimeout:           dialTimeout,
		WriteTimeout:          dialTimeout,
		PoolTimeout:           dialTimeout,
		ContextTimeoutEnabled: true,
		PoolSize:              max(32, 16*runtime.GOMAXPROCS(0)),
		MinIdleConns:          2,
		ConnMaxIdleTime:       5 * time.Minute,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
	d := connector{RedisOptions: o, roundTrip: roundTrip}
	switch {
	case o.MasterName != "":
		// The same dialer serves Sentinels and master, which authenticate
		// differently, so go-redis does the handshake here.
		u.Dialer = d.connect
		u.Username, u.Password, u.DB = o.Username, o.Password, o.DB
		return &Redis{redis.NewFailoverClient(u.Failover()), roundTrip, o.Addrs[0]}, nil
	case o.Cluster || len(o.Addrs) > 1:
		u.Dialer = d.connectAndGreet
		c := redis.NewClusterClient(u.Cluster())
		c.OnNewNode(func(node *redis.Client) { node.AddHook(greeted{}) })
		return &Redis{c, roundTrip, o.Addrs[0]}, nil
	default:
		u.Dialer = d.connectAndGreet
		c := redis.NewClient(u.Simple())
		c.AddHook(greeted{})
		return &Redis{c, roundTrip, o.Addrs[0]}, nil
	}
}

// connector opens connections for the pool. go-redis detaches dialling from
// the request that asked for it, but would authenticate on that request's
// clock; so the handshake is done here, as part of dialling.
type connector struct {
	RedisOptions
	roundTrip *atomic.Int64
}

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

func (d connector) connectAndGreet(ctx context.Context, network, addr string) (net.Conn, error) {
	deadline := time.Now().Add(dialTimeout)
	conn, err := d.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if err := d.greet(conn, deadline); err != nil {
		conn.Close()
		return nil, fmt.Errorf("greeting Redis at %s: %w", addr, err)
	}
	return conn, nil
}

// greet authenticates, selects the database and measures the round trip.
func (d connector) greet(conn net.Conn, deadline time.Time) error {
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	replies := bufio.NewReader(conn)
	do := func(args ...string) error {
		if _, err := conn.Write(encodeCommand(args)); err != nil {
			return err
		}
		line, err := replies.ReadString('\n')
		if err != nil {
			return err
		}
		if reason, bad := strings.CutPrefix(strings.TrimSpace(line), "-"); bad {
			return fmt.Errorf("%s: %s", args[0], reason)
		}
		return nil
	}
	switch {
	case d.Username != "":
		if err := do("AUTH", d.Username, d.Password); err != nil {
			return err
		}
	case d.Password != "":
		if err := do("AUTH", d.Password); err != nil {
			return err
		}
	}
	if d.DB != 0 {
		if err := do("SELECT", strconv.Itoa(d.DB)); err != nil {
			return err
		}
	}
	start := time.Now()
	if err := do("PING"); err != nil {
		return err
	}
	d.roundTrip.Store(int64(time.Since(start)))
	return conn.SetDeadline(time.Time{})
}

func encodeCommand(args []string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b
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
