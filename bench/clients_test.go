package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
)

// Value sizes in bytes: the median of the caches that Twitter measured, and
// what the concurrent hits are measured with.
const (
	smallValue = 224
	largeValue = 1024
)

// budget is so long that a pause of the machine shows as a slow hit, not as a
// Redis that was given up.
const budget = 10 * time.Second

// family is what the benchmarks keep their values in: []byte, not public.
var family = families.UserProfile

// impl is one implementation of what a benchmark measures.
type impl struct {
	name string
	run  func(*testing.B)
}

// compare runs the implementations as sub-benchmarks, in an order of each
// process's own, so that none of them always follows the same other one.
func compare(b *testing.B, impls ...impl) {
	b.Helper()
	for _, i := range rand.Perm(len(impls)) {
		b.Run("impl="+impls[i].name, impls[i].run)
	}
}

// open returns ogcache's client on the server at addr, with its metrics on.
func open(b *testing.B, addr string, dial instrumented.Dialer, o instrumented.Options) *instrumented.Cache {
	b.Helper()
	client, err := instrumented.NewRedis(instrumented.RedisOptions{Addrs: []string{addr}, Dial: dial})
	if err != nil {
		b.Fatal(err)
	}
	o.Redis = client
	o.Budget = budget
	o.Registerer = prometheus.NewRegistry()
	c, err := instrumented.New(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.Error(err)
		}
		if err := client.Close(); err != nil {
			b.Error(err)
		}
	})
	return c
}

// bare returns a plain go-redis client with as many connections as ogcache's.
func bare(b *testing.B, addr string, dial instrumented.Dialer) *redis.Client {
	b.Helper()
	client := redis.NewClient(&redis.Options{
		Addr: addr, Dialer: dial, Protocol: 2, DisableIdentity: true,
		PoolSize: max(32, 16*runtime.GOMAXPROCS(0)), MinIdleConns: 2,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	b.Cleanup(func() {
		if err := client.Close(); err != nil {
			b.Error(err)
		}
	})
	return client
}

// value returns n bytes that do not compress.
func value(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

func ids(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("user_%d", i)
	}
	return all
}

// warm stores the value under every id.
func warm(b *testing.B, view instrumented.Typed[[]byte], all []string, v []byte) {
	b.Helper()
	const batch = 1000
	for len(all) > 0 {
		some := all[:min(batch, len(all))]
		all = all[len(some):]
		stored, err := view.Warm(b.Context(), some, func(_ context.Context, missing []string) (map[string][]byte, error) {
			loaded := make(map[string][]byte, len(missing))
			for _, id := range missing {
				loaded[id] = v
			}
			return loaded, nil
		})
		if err != nil || stored != len(some) {
			b.Fatalf("stored %d of %d values: %v", stored, len(some), err)
		}
	}
}

// fill stores the value under every key, without ogcache.
func fill(b *testing.B, client *redis.Client, keys []string, v []byte) {
	b.Helper()
	_, err := client.Pipelined(b.Context(), func(pipe redis.Pipeliner) error {
		for _, k := range keys {
			pipe.Set(b.Context(), k, v, family.TTL)
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// prefixed returns the names with a prefix that keeps the peers' keys apart.
func prefixed(prefix string, names []string) []string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = prefix + n
	}
	return all
}

// expect fails the benchmark unless the answer is the value that was stored.
func expect(b *testing.B, got, want []byte, err error) {
	if err != nil {
		b.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		b.Fatalf("got %d bytes that are not the %d stored", len(got), len(want))
	}
}

// mustNotLoad is the loader of a benchmark that only hits.
func mustNotLoad(context.Context) ([]byte, error) {
	return nil, fmt.Errorf("a value that is cached was loaded")
}

// trips counts round trips: writes to the server, each a command or a batch of
// them.
type trips struct{ atomic.Int64 }

func (t *trips) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &tripConn{TCPConn: conn.(*net.TCPConn), trips: t}, nil
}

// dialRueidis is dial as rueidis wants it.
func (t *trips) dialRueidis(ctx context.Context, addr string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
	return t.dial(ctx, "tcp", addr)
}

// report gives the round trips per operation. What connecting and background
// work add vanishes in the rounding.
func (t *trips) report(b *testing.B) {
	b.ReportMetric(math.Round(100*float64(t.Load())/float64(b.N))/100, "trips/op")
}

// tripConn embeds the TCP connection, not the interface, so that clients that
// look for its file descriptor still find it.
type tripConn struct {
	*net.TCPConn
	trips *trips
}

func (c *tripConn) Write(p []byte) (int, error) {
	c.trips.Add(1)
	return c.TCPConn.Write(p)
}
