package bench

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/go-redis/cache/v9"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidisaside"

	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/testenv"
)

// aside is a cache client that loads and stores what it misses.
type aside struct {
	name string
	// prefix is that of the keys under which it finds what fill stored; it is
	// empty where the client stores in a form of its own.
	prefix string
	open   func(*testing.B, string, *trips) fetch
}

// fetch returns the value of a name and, on a miss, loads v and stores it.
type fetch func(ctx context.Context, name string, v []byte) ([]byte, error)

func asides() []aside {
	return []aside{
		{"ogcache", "", openOgcache(instrumented.Options{})},
		{"ogcache-batched", "", openOgcache(instrumented.Options{BatchReads: true})},
		{"go-redis-cache", "plain:", openGoRedisCache},
		{"rueidisaside", "plain:", openRueidisaside},
	}
}

func openOgcache(o instrumented.Options) func(*testing.B, string, *trips) fetch {
	return func(b *testing.B, addr string, t *trips) fetch {
		view := instrumented.For[[]byte](open(b, addr, t.dial, o), family)
		return func(ctx context.Context, name string, v []byte) ([]byte, error) {
			return view.Fetch(ctx, name, func(context.Context) ([]byte, error) { return v, nil })
		}
	}
}

func openGoRedisCache(b *testing.B, addr string, t *trips) fetch {
	c := cache.New(&cache.Options{Redis: bare(b, addr, t.dial)})
	return func(ctx context.Context, name string, v []byte) (got []byte, err error) {
		err = c.Once(&cache.Item{
			Ctx: ctx, Key: name, TTL: family.TTL, Value: &got,
			Do: func(*cache.Item) (any, error) { return v, nil },
		})
		return got, err
	}
}

// nearBytes bounds rueidisaside's near cache, which it cannot do without, to
// less than the values of BenchmarkAsideHit: a hit there shall be one on Redis.
const nearBytes = 512 << 10

func openRueidisaside(b *testing.B, addr string, t *trips) fetch {
	client, err := rueidisaside.NewClient(rueidisaside.ClientOption{ClientOption: rueidis.ClientOption{
		InitAddress: []string{addr}, DialCtxFn: t.dialRueidis, CacheSizeEachConn: nearBytes,
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	return func(ctx context.Context, name string, v []byte) ([]byte, error) {
		got, err := client.Get(ctx, family.TTL, name, func(context.Context, string) (string, error) { return string(v), nil })
		return []byte(got), err
	}
}

// distinctKeys is how many names BenchmarkAsideHit goes round in.
const distinctKeys = 20_000

// BenchmarkAsideHit is a hit on Redis, of a key that was not asked for lately,
// by one caller and by 64.
func BenchmarkAsideHit(b *testing.B) {
	server := testenv.Redis(b)
	v := value(smallValue)
	users := ids(distinctKeys)
	fill(b, server.Client(b), prefixed("plain:", users), v)
	warm(b, instrumented.For[[]byte](open(b, server.Addr, nil, instrumented.Options{}), family), users, v)
	var next atomic.Int64
	compareAsides(b, server.Addr, v, asides(), func(a aside) func() string {
		names := prefixed(a.prefix, users)
		return func() string { return names[next.Add(1)%distinctKeys] }
	})
}

// BenchmarkAsideMiss is a miss of a key that nobody has asked for before: its
// value is loaded, which takes no time here, and stored.
func BenchmarkAsideMiss(b *testing.B) {
	server := testenv.Redis(b)
	var next atomic.Int64
	compareAsides(b, server.Addr, value(smallValue), append(asides(), aside{"naive", "", openNaive}),
		func(a aside) func() string {
			return func() string { return a.name + "_" + strconv.FormatInt(next.Add(1), 10) }
		})
}

// openNaive returns the scheme of GET, load and SET.
func openNaive(b *testing.B, addr string, t *trips) fetch {
	client := bare(b, addr, t.dial)
	return func(ctx context.Context, name string, v []byte) ([]byte, error) {
		got, err := client.Get(ctx, name).Bytes()
		if !errors.Is(err, redis.Nil) {
			return got, err
		}
		return v, client.Set(ctx, name, v, family.TTL).Err()
	}
}

// compareAsides measures clients with one caller and with 64. named returns
// what gives a client its next name, and is safe for concurrent use.
func compareAsides(b *testing.B, addr string, v []byte, clients []aside, named func(aside) func() string) {
	for _, n := range []int{1, callers} {
		var impls []impl
		for _, a := range clients {
			impls = append(impls, impl{a.name, func(b *testing.B) {
				t := new(trips)
				get, next := a.open(b, addr, t), named(a)
				once := func() bool {
					got, err := get(b.Context(), next(), v)
					if err != nil || len(got) != len(v) {
						b.Errorf("%d bytes, %v", len(got), err)
					}
					return err == nil
				}
				// Connect, and have the scripts loaded, before the clock runs.
				once()
				t.Store(0)
				if n == 1 {
					b.ReportAllocs()
					for b.Loop() {
						once()
					}
				} else {
					parallel(b, func(pb *testing.PB) {
						for pb.Next() && once() {
						}
					})
				}
				t.report(b)
			}})
		}
		b.Run("callers="+strconv.Itoa(n), func(b *testing.B) { compare(b, impls...) })
	}
}
