package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/keyspace"
	"github.com/oglab/ogcache/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// fill stores count keys of a family, or of a foreign prefix, and lets them
// expire after ttl (0: never).
func fill(t *testing.T, c redis.Cmdable, prefix string, count int, ttl time.Duration) {
	t.Helper()
	pipe := c.Pipeline()
	for i := range count {
		pipe.Set(t.Context(), fmt.Sprintf("%s%d", prefix, i), "value", ttl)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func exists(t *testing.T, c redis.Cmdable, key string) bool {
	t.Helper()
	return must[int64](t)(c.Exists(t.Context(), key).Result()) == 1
}

func TestScanCountsEveryFamilyExactly(t *testing.T) {
	c := testenv.Redis(t).Client(t)
	fill(t, c, "user:profile:", 20_000, 4*time.Minute)
	fill(t, c, "conversation:", 15_000, 9*time.Minute)
	fill(t, c, "conversations:user:", 10_000, time.Minute)
	fill(t, c, "auth:token:", 50, 2*time.Hour) // over the policy of one hour
	fill(t, c, "analytics:", 7, 0)
	fill(t, c, "session:of:somebody:", 300, 0)
	fill(t, c, "menu:items", 1, time.Minute) // "menu:items0" is not the menu

	r := keyspace.NewReader(c)
	s := must[keyspace.Snapshot](t)(r.Scan(t.Context()))
	want := map[string]int64{
		"user_profile": 20_000, "conversation": 15_000, "conversation_list": 10_000, "auth_token": 50,
		"analytics": 7, "other": 301, "menu_items": 0, "user_telegram": 0, "agent_context": 0,
	}
	for name, n := range want {
		if got := s.Families[name].Keys; got != n {
			t.Errorf("%s has %d keys, want %d", name, got, n)
		}
	}
	if s.Total != 45_358 || s.Scanned != s.Total {
		t.Errorf("scanned %d of %d, want all of 45358", s.Scanned, s.Total)
	}
	if n := s.Families["auth_token"].OverPolicy; n != 50 {
		t.Errorf("%d sessions are over the policy, want 50", n)
	}
	if n := s.Families["analytics"].NoExpiry; n != 7 {
		t.Errorf("%d analytics keys have no expiry, want 7", n)
	}
	// 4 of 5 minutes left is the tenth twelfth, at its very end.
	if n := s.Families["user_profile"].TTL[9]; n != 20_000 {
		t.Errorf("profiles' lifetimes are %v, want all in the tenth bin", s.Families["user_profile"].TTL)
	}
	if !s.BytesOffered || s.Families["user_profile"].Bytes < 20_000*20 {
		t.Errorf("profiles take %d bytes, offered %v", s.Families["user_profile"].Bytes, s.BytesOffered)
	}
	if latest, ok := r.Latest(); !ok || latest.Scanned != s.Scanned {
		t.Error("the scan is not the latest snapshot")
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(r)
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP ogcache_keys_without_expiry Keys that never expire, as of the latest scan.
# TYPE ogcache_keys_without_expiry gauge
ogcache_keys_without_expiry{family="agent_context"} 0
ogcache_keys_without_expiry{family="analytics"} 7
ogcache_keys_without_expiry{family="auth_token"} 0
ogcache_keys_without_expiry{family="conversation"} 0
ogcache_keys_without_expiry{family="conversation_list"} 0
ogcache_keys_without_expiry{family="menu_items"} 0
ogcache_keys_without_expiry{family="other"} 300
ogcache_keys_without_expiry{family="user_profile"} 0
ogcache_keys_without_expiry{family="user_telegram"} 0
`), "ogcache_keys_without_expiry"); err != nil {
		t.Error(err)
	}
}

func TestScanOfAnEmbeddedServerSaysWhatIsNotOffered(t *testing.T) {
	server := miniredis.RunT(t)
	c := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer c.Close()
	fill(t, c, "user:profile:", 3000, time.Minute)
	r := keyspace.NewReader(c)
	s := must[keyspace.Snapshot](t)(r.Scan(t.Context()))
	if s.Families["user_profile"].Keys != 3000 {
		t.Errorf("counted %d keys, want 3000", s.Families["user_profile"].Keys)
	}
	is := must[keyspace.Server](t)(r.Server(t.Context()))
	if is.TotalKeys != 3000 || is.Memory != "N/A" {
		t.Errorf("the embedded server is %+v, want 3000 keys and no word on memory", is)
	}
}

func TestServerTellsItsMemory(t *testing.T) {
	c := testenv.Redis(t).Client(t)
	s := must[keyspace.Server](t)(keyspace.NewReader(c).Server(t.Context()))
	if s.Memory == "N/A" || s.Version == "N/A" || s.Mode != "standalone" {
		t.Errorf("got %+v", s)
	}
}

func TestClearIsLiteralAndSparesOthers(t *testing.T) {
	c := testenv.Redis(t).Client(t)
	keys := []string{
		"conversation:c1", "conversation:c2", "conversations:user:u1", "user:profile:a", "user:profile:a*b",
		"user:profile:a?b", "user:profile:axb", "user:profile:[ab]", `user:profile:a\b`, "user:telegram:1",
		"user:session:foreign", "menu:items", "menu:foreign", "analytics:day", "foreign", "auth:token:x",
	}
	for name, test := range map[string]struct {
		selection func() (keyspace.Selection, error)
		gone      []string
	}{
		"conversations alone": {func() (keyspace.Selection, error) { return keyspace.Prefix("conversation:") },
			[]string{"conversation:c1", "conversation:c2"}},
		"a star": {func() (keyspace.Selection, error) { return keyspace.Prefix("user:profile:a*") }, []string{"user:profile:a*b"}},
		"a question mark": {func() (keyspace.Selection, error) { return keyspace.Prefix("user:profile:a?") },
			[]string{"user:profile:a?b"}},
		"a set": {func() (keyspace.Selection, error) { return keyspace.Prefix("user:profile:[ab]") }, []string{"user:profile:[ab]"}},
		"a backslash": {func() (keyspace.Selection, error) { return keyspace.Prefix(`user:profile:a\`) },
			[]string{`user:profile:a\b`}},
		"a group": {func() (keyspace.Selection, error) { return keyspace.Prefix("user:") },
			[]string{"user:profile:a", "user:profile:a*b", "user:profile:a?b", "user:profile:axb", "user:profile:[ab]", `user:profile:a\b`, "user:telegram:1"}},
		"the menu": {func() (keyspace.Selection, error) { return keyspace.Prefix("menu:") }, []string{"menu:items"}},
		"analytics by name": {func() (keyspace.Selection, error) { return keyspace.Family(families.Analytics), nil },
			[]string{"analytics:day"}},
		"everything": {func() (keyspace.Selection, error) { return keyspace.Everything(), nil },
			[]string{"conversation:c1", "conversation:c2", "conversations:user:u1", "user:profile:a", "user:profile:a*b", "user:profile:a?b",
				"user:profile:axb", "user:profile:[ab]", `user:profile:a\b`, "user:telegram:1", "menu:items", "auth:token:x"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, k := range keys {
				if err := c.Set(t.Context(), k, "v", 0).Err(); err != nil {
					t.Fatal(err)
				}
			}
			selection := must[keyspace.Selection](t)(test.selection())
			r := keyspace.NewReader(c)
			if n := must[int64](t)(r.Count(t.Context(), selection)); n != int64(len(test.gone)) {
				t.Errorf("the dry run counts %d, want %d", n, len(test.gone))
			}
			if n := must[int64](t)(r.Clear(t.Context(), selection, nil)); n != int64(len(test.gone)) {
				t.Errorf("removed %d, want %d", n, len(test.gone))
			}
			gone := make(map[string]bool)
			for _, k := range test.gone {
				gone[k] = true
			}
			for _, k := range keys {
				if exists(t, c, k) == gone[k] {
					t.Errorf("%s: there %v, want %v", k, !gone[k], gone[k])
				}
			}
		})
	}
}

func TestUnknownPrefixesAreRefused(t *testing.T) {
	for _, p := range []string{"", "u", "user", "*", "user:session:", "menu:other", ":"} {
		if _, err := keyspace.Prefix(p); !errors.Is(err, families.ErrUnknownPrefix) {
			t.Errorf("prefix %q: %v, want ErrUnknownPrefix", p, err)
		}
	}
}

func TestCancelledClearSaysHowFarItCame(t *testing.T) {
	c := testenv.Redis(t).Client(t)
	fill(t, c, "user:profile:", 20_000, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	removed, err := keyspace.NewReader(c).Clear(ctx, keyspace.Family(families.UserProfile), func(int64) { cancel() })
	if !errors.Is(err, context.Canceled) || removed == 0 || removed >= 20_000 {
		t.Errorf("removed %d, %v; want a part and context.Canceled", removed, err)
	}
	if left := must[int64](t)(c.DBSize(t.Context()).Result()); left != 20_000-removed {
		t.Errorf("%d keys are left after %d of 20000 were removed", left, removed)
	}
}

func FuzzPrefixIsLiteral(f *testing.F) {
	server, err := miniredis.Run()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(server.Close)
	c := redis.NewClient(&redis.Options{Addr: server.Addr()})
	f.Cleanup(func() { c.Close() })
	f.Add("a*", "ab")
	f.Add("[a-z]", "[a-z]x")
	f.Add(`\`, `\\`)
	f.Fuzz(func(t *testing.T, prefix, id string) {
		key := "user:profile:" + id
		server.FlushAll()
		if err := server.Set(key, "v"); err != nil {
			t.Fatal(err)
		}
		selection, err := keyspace.Prefix("user:profile:" + prefix)
		if err != nil {
			t.Fatal(err)
		}
		removed, err := keyspace.NewReader(c).Clear(t.Context(), selection, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := id != "" && strings.HasPrefix(id, prefix); (removed == 1) != want || server.Exists(key) == want {
			t.Errorf("prefix %q, id %q: removed %d, want it removed: %v", prefix, id, removed, want)
		}
	})
}
