package bench

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/testenv"
)

const (
	callers     = 64
	popularKeys = 10_000
	popularity  = 1.2 // exponent of the Zipf distribution
)

// BenchmarkConcurrentHit is a hit on a real Redis, 64 goroutines at once,
// 1 KiB values, keys as popular as Zipf says.
func BenchmarkConcurrentHit(b *testing.B) {
	server := testenv.Redis(b)
	v := value(largeValue)
	users := ids(popularKeys)
	keys := prefixed("bare:", users)
	fill(b, server.Client(b), keys, v)
	warm(b, instrumented.For[[]byte](open(b, server.Addr, nil, instrumented.Options{}), family), users, v)

	compare(b,
		impl{"bare", func(b *testing.B) {
			client := bare(b, server.Addr, nil)
			concurrently(b, keys, v, func(ctx context.Context, key string) ([]byte, error) {
				return client.Get(ctx, key).Bytes()
			})
		}},
		impl{"ogcache", concurrentHits(server.Addr, users, v, instrumented.Options{})},
		impl{"ogcache-batched", concurrentHits(server.Addr, users, v, instrumented.Options{BatchReads: true})},
	)
}

// concurrentHits is ogcache's share of BenchmarkConcurrentHit.
func concurrentHits(addr string, users []string, v []byte, o instrumented.Options) func(*testing.B) {
	return func(b *testing.B) {
		view := instrumented.For[[]byte](open(b, addr, nil, o), family)
		concurrently(b, users, v, func(ctx context.Context, id string) ([]byte, error) {
			return view.Fetch(ctx, id, mustNotLoad)
		})
	}
}

// concurrently lets 64 callers get names, each in an order of its own that is
// drawn beforehand.
func concurrently(b *testing.B, names []string, want []byte, get func(context.Context, string) ([]byte, error)) {
	b.Helper()
	const drawn = 1 << 16
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), popularity, 1, uint64(len(names)-1))
	order := make([]string, drawn)
	for i := range order {
		order[i] = names[zipf.Uint64()]
	}
	got, err := get(b.Context(), order[0])
	expect(b, got, want, err)
	var caller atomic.Int64
	parallel(b, func(pb *testing.PB) {
		i := int(caller.Add(1)) * (drawn / callers)
		for pb.Next() {
			if v, err := get(b.Context(), order[i%drawn]); err != nil || len(v) != len(want) {
				b.Errorf("%d bytes, %v", len(v), err)
				return
			}
			i++
		}
	})
}

// parallel runs body in 64 goroutines.
func parallel(b *testing.B, body func(*testing.PB)) {
	b.Helper()
	b.SetParallelism(callers / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(body)
	b.StopTimer()
}
