package instrumented

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

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
// hands them out, and that knows how far away its server is and who it is.
type Redis struct {
	redis.UniversalClient
	connections
	connector connector
	roundTrip atomic.Int64 // nanoseconds, as last measured while connecting
	address   string       // the first that was given, for spans

	mu        sync.Mutex
	servers   map[string]string // identities of the masters that were connected to, by address
	listeners []func(string)    // to be told of them
}

// RoundTrip returns the round-trip time as measured on the newest connection,
// 0 before the first.
func (r *Redis) RoundTrip() time.Duration { return time.Duration(r.roundTrip.Load()) }

// NewRedis returns a client that connects in the background. It does no I/O.
func NewRedis(o RedisOptions) (*Redis, error) {
	if len(o.Addrs) == 0 {
		return nil, errors.New("redis: no address given")
	}
	r := &Redis{address: o.Addrs[0]}
	r.connector = connector{RedisOptions: o, redis: r}
	u := &redis.UniversalOptions{
		Addrs:                 o.Addrs,
		MasterName:            o.MasterName,
		Dialer:                r.connector.connectAndGreet,
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
	switch {
	case o.MasterName != "":
		c := redis.NewFailoverClient(u.Failover())
		c.AddHook(greeted{})
		r.UniversalClient = c
	case o.Cluster || len(o.Addrs) > 1:
		cluster := u.Cluster()
		// Until a node redirects it, go-redis would ask a lost master for a minute.
		cluster.ClusterStateReloadInterval = time.Second
		c := redis.NewClusterClient(cluster)
		c.OnNewNode(func(node *redis.Client) { node.AddHook(greeted{}) })
		r.UniversalClient = c
	default:
		c := redis.NewClient(u.Simple())
		c.AddHook(greeted{})
		r.UniversalClient = c
	}
	return r, nil
}

// single reports whether the client is of one server with a fixed address.
func (r *Redis) single() bool {
	_, cluster := r.UniversalClient.(*redis.ClusterClient)
	return !cluster && r.connector.MasterName == ""
}

// meet tells that a connection was made, before it carries its first command.
// Servers that do not answer for keys, Sentinels and replicas, are no news.
func (r *Redis) meet(addr string, s server) {
	if s.mode != "cluster" {
		// There is one master, and this is it now; that another was it before must
		// not be forgotten by connections that are still open.
		defer r.closeWhere(func(c *trackedConn) bool { return c.server.mode != "sentinel" && c.server.identity != s.identity })
	}
	r.mu.Lock()
	if s.mode != "cluster" {
		r.servers = nil
	}
	if s.role == "slave" {
		delete(r.servers, addr)
		r.mu.Unlock()
		return
	}
	if r.servers == nil {
		r.servers = make(map[string]string)
	}
	r.servers[addr] = s.identity
	listeners := r.listeners
	r.mu.Unlock()
	for _, tell := range listeners {
		tell(s.identity)
	}
}

// masters returns the identities of the servers that answer for keys, as far as
// they were connected to.
func (r *Redis) masters() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Values(r.servers))
}

// listen has tell told of every master, those met before included.
func (r *Redis) listen(tell func(identity string)) {
	r.mu.Lock()
	r.listeners = append(slices.Clone(r.listeners), tell)
	r.mu.Unlock()
	for _, identity := range r.masters() {
		tell(identity)
	}
}

// reach asks every master for a sign of life.
func (r *Redis) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if c, ok := r.UniversalClient.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return node.Ping(ctx).Err() })
	}
	return r.Ping(ctx).Err()
}
