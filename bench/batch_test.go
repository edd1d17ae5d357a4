package bench

import (
	"context"
	"fmt"
	"testing"

	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/testenv"
)

// BenchmarkBatchHit is a hundred values that are all cached.
func BenchmarkBatchHit(b *testing.B) {
	const size = 100
	server := testenv.Redis(b)
	v := value(smallValue)
	users := ids(size)
	keys := prefixed("bare:", users)
	fill(b, server.Client(b), keys, v)
	warm(b, instrumented.For[[]byte](open(b, server.Addr, nil, instrumented.Options{}), family), users, v)

	// run measures get, which returns how many intact values it got.
	run := func(b *testing.B, get func(context.Context) (int, error)) {
		b.ReportAllocs()
		for b.Loop() {
			if n, err := get(b.Context()); err != nil || n != size {
				b.Fatalf("%d of %d values: %v", n, size, err)
			}
		}
	}
	compare(b,
		impl{"ogcache", func(b *testing.B) {
			view := instrumented.For[[]byte](open(b, server.Addr, nil, instrumented.Options{}), family)
			run(b, func(ctx context.Context) (int, error) {
				found, err := view.GetMany(ctx, users)
				return len(found), err
			})
		}},
		impl{"singles", func(b *testing.B) {
			view := instrumented.For[[]byte](open(b, server.Addr, nil, instrumented.Options{}), family)
			run(b, func(ctx context.Context) (int, error) {
				for i, id := range users {
					if _, ok, err := view.Get(ctx, id); err != nil || !ok {
						return i, err
					}
				}
				return len(users), nil
			})
		}},
		// Bytes in, bytes out here too: go-redis returns strings in an []any.
		impl{"mget", func(b *testing.B) {
			client := bare(b, server.Addr, nil)
			run(b, func(ctx context.Context) (int, error) {
				replies, err := client.MGet(ctx, keys...).Result()
				if err != nil {
					return 0, err
				}
				found := make(map[string][]byte, len(replies))
				for i, r := range replies {
					s, ok := r.(string)
					if !ok {
						return i, fmt.Errorf("the answer for %s is a %T", keys[i], r)
					}
					found[users[i]] = []byte(s)
				}
				return len(found), nil
			})
		}},
	)
}
