package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/redis/rueidis"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/testenv"
)

type menu struct {
	Items []dish
}

type dish struct {
	ID, Name, Description string
	Cents                 int
	Tags                  []string
}

func newMenu() menu {
	var m menu
	for i := range 20 {
		m.Items = append(m.Items, dish{
			ID: fmt.Sprintf("dish_%d", i), Name: fmt.Sprintf("Dish %d", i), Description: "Served warm, with bread",
			Cents: 100 * i, Tags: []string{"warm", "vegetarian"},
		})
	}
	return m
}

// BenchmarkNearHit is a hit in the process that ends in a decoded value, a
// count and a histogram sample, without a recording parent. The peers keep
// bytes and decode them every time.
func BenchmarkNearHit(b *testing.B) {
	server := testenv.Redis(b)
	key, err := families.MenuItems.Key(families.MenuItems.Single)
	if err != nil {
		b.Fatal(err)
	}
	want := newMenu()
	encoded, err := json.Marshal(want)
	if err != nil {
		b.Fatal(err)
	}
	plain := "plain:" + key.ID()
	fill(b, server.Client(b), []string{plain}, encoded)

	// run measures get once it is answered from the process.
	run := func(b *testing.B, t *trips, get func(context.Context) (menu, error)) {
		nearby := func() bool {
			before := t.Load()
			got, err := get(b.Context())
			if err != nil || !reflect.DeepEqual(got, want) {
				b.Fatalf("got %+v, %v", got, err)
			}
			return t.Load() == before
		}
		for deadline := time.Now().Add(10 * time.Second); !nearby(); {
			if time.Now().After(deadline) {
				b.Fatal("every hit goes to Redis")
			}
		}
		t.Store(0)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := get(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		t.report(b)
	}
	compare(b,
		impl{"ogcache", func(b *testing.B) {
			t := new(trips)
			view := instrumented.For[menu](open(b, server.Addr, t.dial, instrumented.Options{
				Near: []*families.Family{families.MenuItems},
			}), families.MenuItems)
			load := func(context.Context) (menu, error) { return want, nil }
			run(b, t, func(ctx context.Context) (menu, error) { return view.Fetch(ctx, key.ID(), load) })
		}},
		impl{"go-redis", func(b *testing.B) {
			t, series := new(trips), newMeasured()
			client := redis.NewClient(&redis.Options{
				Addr: server.Addr, Dialer: t.dial, Protocol: 3, DisableIdentity: true,
				MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
				ClientSideCacheConfig:    &redis.ClientSideCacheConfig{},
			})
			defer client.Close()
			run(b, t, func(ctx context.Context) (m menu, err error) {
				defer series.since(time.Now())
				raw, err := client.Get(ctx, plain).Bytes()
				if err != nil {
					return m, err
				}
				err = json.Unmarshal(raw, &m)
				return m, err
			})
		}},
		impl{"rueidis", func(b *testing.B) {
			t, series := new(trips), newMeasured()
			client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr}, DialCtxFn: t.dialRueidis})
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			run(b, t, func(ctx context.Context) (m menu, err error) {
				defer series.since(time.Now())
				err = client.DoCache(ctx, client.B().Get().Key(plain).Cache(), families.MenuItems.TTL).DecodeJSON(&m)
				return m, err
			})
		}},
	)
}

// measured is what a peer is counted and timed by.
type measured struct {
	hits  prometheus.Counter
	times prometheus.Histogram
}

func newMeasured() measured {
	return measured{prometheus.NewCounter(prometheus.CounterOpts{Name: "peer_hits_total"}), histogram()}
}

func (m measured) since(start time.Time) {
	m.hits.Inc()
	m.times.Observe(time.Since(start).Seconds())
}
