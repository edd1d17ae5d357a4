package instrumented_test

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/lab"
	"github.com/oglab/ogcache/internal/testenv"
)

// A Redis over TLS, 30 ms away, needs some 150 ms to connect and 90 ms for a
// miss: more than the default budget on both counts, and yet it is healthy.
func TestDistantRedisOverTLSWorks(t *testing.T) {
	server := testenv.RedisTLS(t)
	client, err := instrumented.NewRedis(instrumented.RedisOptions{
		Addrs: []string{server.Addr},
		TLS:   &tls.Config{RootCAs: server.CA, MinVersion: tls.VersionTLS12},
		Dial:  lab.DistantDialer(30*time.Millisecond, prometheus.ObserverFunc(func(float64) {})),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := instrumented.New(instrumented.Options{Redis: client})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	values := instrumented.For[string](c, families.MenuItems)
	load := func(context.Context) (string, error) { return "menu", nil }

	deadline := time.Now().Add(10 * time.Second)
	for hits := 0; hits < 20; {
		r := instrumented.NewRequest(false)
		ctx := instrumented.WithRequest(t.Context(), r)
		if _, err := values.Fetch(ctx, "items", load); err != nil {
			t.Fatal(err)
		}
		if r.Lookups()[0].Result == instrumented.Hit {
			hits++
		} else if hits > 0 {
			t.Errorf("after %d hits a lookup was a %s", hits, r.Lookups()[0].Result)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %d hits in ten seconds; budget %v, round trip %v", hits, c.Budget(), client.RoundTrip())
		}
	}
	if c.Budget() <= instrumented.DefaultBudget {
		t.Errorf("the budget stayed at %v with a round trip of %v", c.Budget(), client.RoundTrip())
	}
}
