package instrumented_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/testenv"
)

// What docs/operations.md says that the cache client's user needs.
var (
	clientCommands  = []string{"ping", "get", "mget", "getrange", "set", "unlink", "eval", "evalsha"}
	clusterCommands = []string{"cluster|slots"}
)

// appUser returns the arguments for a server with a user who may do so much
// and nothing else.
func appUser(commands ...string) []string {
	user := []string{"--user", "app", "on", ">a secret", "resetchannels", "~*", "-@all"}
	for _, command := range commands {
		user = append(user, "+"+command)
	}
	return user
}

func TestEveryTopologyServesTheWholeClient(t *testing.T) {
	for name, start := range map[string]func(testing.TB) instrumented.RedisOptions{
		"standalone": func(tb testing.TB) instrumented.RedisOptions {
			return instrumented.RedisOptions{Addrs: []string{testenv.Redis(tb).Addr}}
		},
		"password": func(tb testing.TB) instrumented.RedisOptions {
			return instrumented.RedisOptions{
				Addrs: []string{testenv.Redis(tb, "--requirepass", "a secret").Addr}, Password: "a secret", DB: 3,
			}
		},
		"ACL user": func(tb testing.TB) instrumented.RedisOptions {
			s := testenv.Redis(tb, appUser(clientCommands...)...)
			return instrumented.RedisOptions{Addrs: []string{s.Addr}, Username: "app", Password: "a secret"}
		},
		"TLS with a private CA": func(tb testing.TB) instrumented.RedisOptions {
			s := testenv.RedisTLS(tb)
			return instrumented.RedisOptions{
				Addrs: []string{s.Addr}, TLS: &tls.Config{RootCAs: s.CA, MinVersion: tls.VersionTLS12},
			}
		},
		"Cluster": func(tb testing.TB) instrumented.RedisOptions {
			return instrumented.RedisOptions{Addrs: testenv.RedisCluster(tb).Addrs()}
		},
		"Cluster by one address": func(tb testing.TB) instrumented.RedisOptions {
			return instrumented.RedisOptions{Addrs: testenv.RedisCluster(tb).Addrs()[5:], Cluster: true}
		},
		"Cluster with an ACL user": func(tb testing.TB) instrumented.RedisOptions {
			c := testenv.RedisCluster(tb, appUser(slices.Concat(clientCommands, clusterCommands)...)...)
			return instrumented.RedisOptions{Addrs: c.Addrs(), Username: "app", Password: "a secret"}
		},
		"Sentinel": func(tb testing.TB) instrumented.RedisOptions {
			s := testenv.RedisSentinel(tb, "")
			return instrumented.RedisOptions{Addrs: s.SentinelAddrs(), MasterName: s.MasterName}
		},
		"Sentinel with a password": func(tb testing.TB) instrumented.RedisOptions {
			s := testenv.RedisSentinel(tb, "a secret")
			return instrumented.RedisOptions{Addrs: s.SentinelAddrs(), MasterName: s.MasterName, Password: "a secret"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Not about time: a busy machine must not look like a lost Redis.
			c := open(t, start(t), instrumented.Options{Budget: 10 * time.Second})
			exercise(t, c)
			if !c.Available() {
				t.Error("the breaker is open")
			}
		})
	}
}

// exercise does all that a cache client can do and checks the outcome.
func exercise(t *testing.T, c *instrumented.Cache) {
	t.Helper()
	values := instrumented.For[string](c, families.UserProfile)
	var ids []string
	var keys []families.Key
	for i := range loadIDs {
		ids = append(ids, id(i))
		keys = append(keys, key(t, id(i)))
	}
	cached := func(want int) {
		t.Helper()
		got, err := values.GetMany(t.Context(), ids)
		if err != nil || len(got) != want {
			t.Errorf("%d of %d values are cached, want %d; %v", len(got), len(ids), want, err)
		}
		for id, v := range got {
			if v != valueOf(id) {
				t.Errorf("%s has %q", id, v)
			}
		}
	}
	loaded := 0
	counted := func(ctx context.Context, missing []string) (map[string]string, error) {
		loaded += len(missing)
		return loadMany(ctx, missing)
	}

	for _, want := range []instrumented.Result{instrumented.Miss, instrumented.Hit} {
		r := instrumented.NewRequest(false)
		got, err := values.Fetch(instrumented.WithRequest(t.Context(), r), ids[0], loadOne(ids[0]))
		if err != nil || got != valueOf(ids[0]) || r.Lookups()[0].Result != want {
			t.Errorf("one value: %q, %v, %v; want a %s", got, err, r.Lookups(), want)
		}
	}
	if n, err := values.Warm(t.Context(), ids[:10], loadMany); err != nil || n != 9 {
		t.Errorf("warm-up stored %d values, want the 9 that were missing; %v", n, err)
	}
	cached(10)
	for _, want := range []int{loadIDs - 10, 0} {
		loaded = 0
		got, err := values.FetchMany(t.Context(), ids, counted)
		if err != nil || len(got) != loadIDs || loaded != want {
			t.Errorf("a batch got %d values and loaded %d, want %d and %d; %v", len(got), loaded, loadIDs, want, err)
		}
	}
	cached(loadIDs)
	if err := c.Delete(t.Context(), keys...); err != nil {
		t.Error("deleting: ", err)
	}
	cached(0)

	if _, err := values.Fetch(t.Context(), ids[0], func(ctx context.Context) (string, error) {
		return valueOf(ids[0]), c.Delete(ctx, keys[0])
	}); err != nil {
		t.Error("a key that was deleted during its load: ", err)
	}
	cached(0)
	if _, err := values.Fetch(t.Context(), ids[1], func(context.Context) (string, error) {
		return "", fmt.Errorf("no such row")
	}); err == nil {
		t.Error("a failed load was not reported")
	}
	if _, err := values.Fetch(t.Context(), ids[1], loadOne(ids[1])); err != nil {
		t.Error(err)
	}
	cached(1)
}

func key(tb testing.TB, id string) families.Key {
	tb.Helper()
	k, err := families.UserProfile.Key(id)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// servesWithoutRedis checks that requests are served from the origin until the
// breaker opens and after.
func servesWithoutRedis(t *testing.T, c *instrumented.Cache) {
	t.Helper()
	values := instrumented.For[string](c, families.UserProfile)
	serve := func() {
		t.Helper()
		if got, err := values.Fetch(t.Context(), id(1), loadOne(id(1))); err != nil || got != valueOf(id(1)) {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	until(t, "the breaker is open", func() bool {
		serve()
		return !c.Available()
	})
	serve()
}

func TestUntrustedCertificateIsNamed(t *testing.T) {
	t.Parallel()
	s := testenv.RedisTLS(t)
	var log buffer
	c := open(t, instrumented.RedisOptions{Addrs: []string{s.Addr}, TLS: &tls.Config{MinVersion: tls.VersionTLS12}},
		instrumented.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	servesWithoutRedis(t, c)
	until(t, "the log names the certificate", func() bool { return strings.Contains(log.String(), "certificate signed by unknown authority") })
}

// A user who lacks one of the commands costs the cache, never a request.
func TestUserWithoutOneCommand(t *testing.T) {
	for i, missing := range clientCommands {
		t.Run(missing, func(t *testing.T) {
			t.Parallel()
			s := testenv.Redis(t, appUser(slices.Concat(clientCommands[:i], clientCommands[i+1:])...)...)
			var log buffer
			c := open(t, instrumented.RedisOptions{Addrs: []string{s.Addr}, Username: "app", Password: "a secret"},
				instrumented.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			l := startLoad(t, c, 200)
			l.await(t, 100)
			l.stop()
			l.check(t)
			if strings.Contains(log.String(), "a secret") {
				t.Error("the password is in the log")
			}
		})
	}
}

// buffer is a bytes.Buffer for concurrent use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
