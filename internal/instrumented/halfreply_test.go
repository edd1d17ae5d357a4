package instrumented_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/testenv"
)

// A reader gives up when half of its reply has come. Whoever uses the cache
// next must not find the other half, or the whole, in place of its own.
func TestHalfAReplyIsNobodyElses(t *testing.T) {
	for name, leave := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"cancelled": context.WithCancel,
		"deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 20*time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := testenv.NewProxy(t, testenv.Redis(t).Addr, 1)
			set := func(f testenv.Faults) {
				t.Helper()
				if err := p.Set(f); err != nil {
					t.Fatal(err)
				}
			}
			c := open(t, instrumented.RedisOptions{Addrs: []string{p.Addr}}, instrumented.Options{})
			values := instrumented.For[string](c, families.UserProfile)
			all := make([]string, loadIDs)
			for i := range all {
				all[i] = id(i)
			}
			until(t, "all values are cached", func() bool {
				if _, err := values.Warm(t.Context(), all, loadMany); err != nil {
					return false // not connected yet
				}
				got, err := values.GetMany(t.Context(), all)
				return err == nil && len(got) == len(all)
			})

			halves := 0
			for i := range 50 {
				until(t, "the cache is in use", c.Available)
				spoilt := p.Spoilt()
				set(testenv.Faults{Hold: 60}) // within the envelope's payload
				ctx, cancel := leave(t.Context())
				left := make(chan error, 1)
				go func() {
					_, err := values.Fetch(ctx, id(i), func(ctx context.Context) (string, error) {
						<-ctx.Done() // so that only Redis could answer
						return "", ctx.Err()
					})
					left <- err
				}()
				// Its deadline may come before its reply does.
				until(t, "half a reply has come or the reader has left", func() bool { return p.Spoilt() > spoilt || len(left) > 0 })
				if p.Spoilt() > spoilt {
					halves++
				}
				cancel()
				if err := <-left; err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the reader that left got %v", err)
				}
				set(testenv.Faults{})
				for next := i + 1; next < i+4; next++ {
					if got, err := values.Fetch(t.Context(), id(next), loadOne(id(next))); err != nil || got != valueOf(id(next)) {
						t.Errorf("after %s was left, %s has %q, %v", id(i), id(next), got, err)
					}
				}
				got, err := values.GetMany(t.Context(), all)
				if err != nil {
					t.Error(err)
				}
				for id, v := range got {
					if v != valueOf(id) {
						t.Errorf("after a reader had left, %s in a batch has %q", id, v)
					}
				}
			}
			if halves == 0 {
				t.Error("no reader left in the middle of a reply")
			}
		})
	}
}
