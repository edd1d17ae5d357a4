package config

import (
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

type vars map[string]string

func (v vars) env(name string) (string, bool) {
	s, ok := v[name]
	return s, ok
}

func load(t *testing.T, v vars) Config {
	t.Helper()
	c, err := Load(v.env)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	want := Config{AuthTTL: time.Hour, Migrate: true, Warmup: true, LogFormat: LogText, LogLevel: slog.LevelInfo, Addr: "127.0.0.1:3001"}
	if got := load(t, vars{}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	blank := vars{}
	for _, name := range recordNames(t) {
		blank[name] = " "
	}
	if got := load(t, blank); !reflect.DeepEqual(got, want) {
		t.Errorf("with blank variables: got %+v, want %+v", got, want)
	}
}

func TestEverythingSet(t *testing.T) {
	got := load(t, vars{
		"DATABASE_URL": "postgresql://u:p@h:6543/d", "OGCACHE_AUTH_TTL": "15m", "OGCACHE_REDIS_BUDGET": "20ms",
		"OGCACHE_SERVICE_TOKEN": "0123456789abcdef", "OGCACHE_MIGRATE": "false", "OGCACHE_WARMUP": "0",
		"OGCACHE_LOG_FORMAT": "json", "OGCACHE_LOG_LEVEL": "debug", "PORT": " 8080\n",
		"OGCACHE_MAX_LOADS": "12", "OGCACHE_OFF": "analytics", "OGCACHE_STALE_FOR": "menu_items=30m, user_profile=0s",
	})
	want := Config{
		DatabaseURL: "postgresql://u:p@h:6543/d", AuthTTL: 15 * time.Minute, RedisBudget: 20 * time.Millisecond,
		ServiceToken: "0123456789abcdef", LogFormat: LogJSON, LogLevel: slog.LevelDebug, Addr: "127.0.0.1:8080",
		MaxLoads: 12, Off: []*families.Family{families.Analytics},
		StaleFor: map[*families.Family]time.Duration{families.MenuItems: 30 * time.Minute, families.UserProfile: 0},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := got.RequireDatabase(); err != nil {
		t.Error(err)
	}
	if err := (Config{}).RequireDatabase(); err == nil || !strings.HasPrefix(err.Error(), "DATABASE_URL: ") {
		t.Errorf("RequireDatabase without one: %v", err)
	}
}

func TestSupabase(t *testing.T) {
	for _, address := range []string{"https://p.supabase.co", "https://p.supabase.co/", "http://127.0.0.1:54321", "http://localhost", "http://[::1]:1"} {
		c := load(t, vars{"SUPABASE_URL": address, "SUPABASE_ANON_KEY": "anon"})
		if want := (Supabase{strings.TrimSuffix(address, "/"), "anon"}); c.Supabase == nil || *c.Supabase != want {
			t.Errorf("%s: got %+v, want %+v", address, c.Supabase, want)
		}
	}
}

func TestBadInput(t *testing.T) {
	upstash := func(address string) vars {
		return vars{"UPSTASH_REDIS_REST_URL": address, "UPSTASH_REDIS_REST_TOKEN": "t0ken"}
	}
	supabase := func(address string) vars { return vars{"SUPABASE_URL": address, "SUPABASE_ANON_KEY": "anon"} }
	redisURL := func(address string) vars { return vars{"REDIS_URL": address} }
	for _, tt := range []struct {
		vars vars
		want string // the error starts with
	}{
		{vars{"DATABASE_URL": "mysql://h/d"}, "DATABASE_URL: is not a PostgreSQL address"},
		{vars{"DATABASE_URL": "postgres://"}, "DATABASE_URL: is empty"},
		{vars{"DATABASE_URL": "postgres://u:p q@h/d"}, "DATABASE_URL: is empty after the scheme, or contains a blank"},
		{vars{"SUPABASE_URL": "https://p.supabase.co"}, "SUPABASE_ANON_KEY: is missing"},
		{vars{"SUPABASE_ANON_KEY": "anon"}, "SUPABASE_URL: is missing"},
		{vars{"SUPABASE_URL": "https://p.supabase.co", "SUPABASE_ANON_KEY": "a b"}, "SUPABASE_ANON_KEY: contains a blank"},
		{supabase("http://p.supabase.co"), "SUPABASE_URL: is http"},
		{supabase("ftp://127.0.0.1"), "SUPABASE_URL: is neither"},
		{supabase("p.supabase.co"), "SUPABASE_URL: is not a URL"},
		{supabase("https://u:p@p.supabase.co"), "SUPABASE_URL: carries a user name"},
		{supabase("https://p.supabase.co?x=1"), "SUPABASE_URL: carries a query"},
		{vars{"OGCACHE_AUTH_TTL": "0"}, "OGCACHE_AUTH_TTL: is out of range"},
		{vars{"OGCACHE_AUTH_TTL": "61m"}, "OGCACHE_AUTH_TTL: is out of range"},
		{vars{"OGCACHE_AUTH_TTL": "60"}, "OGCACHE_AUTH_TTL: is no duration"},
		{vars{"OGCACHE_REDIS_BUDGET": "999us"}, "OGCACHE_REDIS_BUDGET: is out of range"},
		{vars{"OGCACHE_MAX_LOADS": "0"}, "OGCACHE_MAX_LOADS: is no such number"},
		{vars{"OGCACHE_OFF": "menu"}, "OGCACHE_OFF: names an unknown family"},
		{vars{"OGCACHE_STALE_FOR": "menu=1m"}, "OGCACHE_STALE_FOR: names an unknown family"},
		{vars{"OGCACHE_STALE_FOR": "menu_items"}, "OGCACHE_STALE_FOR: has no duration"},
		{vars{"OGCACHE_STALE_FOR": "auth_token=1m"}, "OGCACHE_STALE_FOR: is set for auth_token"},
		{vars{"OGCACHE_REDIS_BUDGET": "5.1s"}, "OGCACHE_REDIS_BUDGET: is out of range"},
		{vars{"OGCACHE_REDIS_BUDGET": "-1s"}, "OGCACHE_REDIS_BUDGET: is out of range"},
		{vars{"OGCACHE_SERVICE_TOKEN": "0123456789abcde"}, "OGCACHE_SERVICE_TOKEN: is too short"},
		{vars{"OGCACHE_SERVICE_TOKEN": "01234567 89abcdef"}, "OGCACHE_SERVICE_TOKEN: "},
		{vars{"OGCACHE_MIGRATE": "perhaps"}, "OGCACHE_MIGRATE: is neither"},
		{vars{"OGCACHE_WARMUP": "2"}, "OGCACHE_WARMUP: is neither"},
		{vars{"OGCACHE_LOG_FORMAT": "xml"}, "OGCACHE_LOG_FORMAT: is no log format"},
		{vars{"OGCACHE_LOG_LEVEL": "loud"}, "OGCACHE_LOG_LEVEL: is no log level"},
		{vars{"PORT": "0"}, "PORT: is no port"},
		{vars{"PORT": "65536"}, "PORT: is no port"},
		{vars{"PORT": ":3001"}, "PORT: is no port"},

		{vars{"UPSTASH_REDIS_REST_URL": "https://h.upstash.io"}, "UPSTASH_REDIS_REST_TOKEN: is missing"},
		{vars{"UPSTASH_REDIS_REST_TOKEN": "t0ken"}, "UPSTASH_REDIS_REST_URL: is missing"},
		{upstash("https://your-redis.upstash.io"), "UPSTASH_REDIS_REST_URL: is the guide's placeholder"},
		{vars{"UPSTASH_REDIS_REST_URL": "https://h.upstash.io", "UPSTASH_REDIS_REST_TOKEN": "your-token-here"}, "UPSTASH_REDIS_REST_TOKEN: is the guide's placeholder"},
		{vars{"UPSTASH_REDIS_REST_URL": "https://h.upstash.io", "UPSTASH_REDIS_REST_TOKEN": "a b"}, "UPSTASH_REDIS_REST_TOKEN: contains a blank"},
		{upstash("h.upstash.io"), "UPSTASH_REDIS_REST_URL: is not https"},
		{upstash("rediss://h.upstash.io:6379"), "UPSTASH_REDIS_REST_URL: is not https"},
		{upstash("https://u:p@h.upstash.io"), "UPSTASH_REDIS_REST_URL: carries a user name"},
		{upstash("https://h.upstash.io:6379"), "UPSTASH_REDIS_REST_URL: carries more"},
		{upstash("https://h.upstash.io/get"), "UPSTASH_REDIS_REST_URL: carries more"},
		{upstash("https://h.upstash.io?a"), "UPSTASH_REDIS_REST_URL: carries more"},
		{upstash("https://"), "UPSTASH_REDIS_REST_URL: has no valid host"},
		{upstash("https://%zz"), "UPSTASH_REDIS_REST_URL: is not a URL"},
		{vars{"REDIS_URL": "redis://h", "UPSTASH_REDIS_REST_TOKEN": "t0ken"}, "REDIS_URL: is set together with"},
		{vars{"REDIS_URL": "redis://h", "UPSTASH_REDIS_REST_URL": "https://h"}, "REDIS_URL: is set together with"},

		{redisURL("localhost:6379"), "REDIS_URL: has an unknown scheme"},
		{redisURL("http://h"), "REDIS_URL: has an unknown scheme"},
		{redisURL("unix:///run/redis.sock"), "REDIS_URL: is a Unix socket, which is not supported"},
		{redisURL("redis://"), "REDIS_URL: has an invalid or missing host"},
		{redisURL("redis://:6379"), "REDIS_URL: has an invalid or missing host"},
		{redisURL("redis://h:0"), "REDIS_URL: has an invalid or missing host or port"},
		{redisURL("redis://h:65536"), "REDIS_URL: has an invalid or missing host or port"},
		{redisURL("redis://::1"), "REDIS_URL: has an invalid or missing host"},
		{redisURL("redis://a,,b"), "REDIS_URL: has an invalid or missing host"},
		{redisURL("redis://a:1,b:x"), "REDIS_URL: has an invalid or missing host"},
		{redisURL("redis://h/x"), "REDIS_URL: cannot be parsed"},
		{redisURL("redis://u:%zz@h"), "REDIS_URL: cannot be parsed"},
		{redisURL("redis://h/-1"), "REDIS_URL: has a negative database"},
		{redisURL("redis://h/1/2"), "REDIS_URL: has too many parts"},
		{redisURL("redis://a,b/1"), "REDIS_URL: selects a database of a Cluster"},
		{redisURL("redis://h?db=1"), "REDIS_URL: has a query"},
		{redisURL("redis://:a/b@h"), "REDIS_URL: has a query, a fragment or a misplaced /"},
		{redisURL("redis://:1#b@h"), "REDIS_URL: has a query"},
		{redisURL("redis://u@h"), "REDIS_URL: has a user name without a password"},
		{redisURL("redis://:a b@h"), "REDIS_URL: contains a blank"},
		{redisURL("redis+sentinel://a:26379"), "REDIS_URL: lacks the name"},
		{redisURL("redis+sentinel://a/m/x"), "REDIS_URL: cannot be parsed"},
		{redisURL("redis+sentinel://a/m/1/2"), "REDIS_URL: has too many parts"},
		{vars{"REDIS_URL": "rediss://h", "OGCACHE_REDIS_CA_FILE": "/nowhere/ca.pem"}, "OGCACHE_REDIS_CA_FILE: names no regular file"},
		{vars{"REDIS_URL": "rediss://h", "OGCACHE_REDIS_CA_FILE": "."}, "OGCACHE_REDIS_CA_FILE: names no regular file"},
		{vars{"REDIS_URL": "rediss://h", "OGCACHE_REDIS_CA_FILE": "config.go"}, "OGCACHE_REDIS_CA_FILE: names a file without"},
	} {
		c, err := Load(tt.vars.env)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%v: got error %q, want %q…", tt.vars, err, tt.want)
			continue
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: more than one error: %v", tt.vars, err)
		}
		if !strings.Contains(err.Error(), "; expected ") {
			t.Errorf("%v: does not say what is expected: %v", tt.vars, err)
		}
		if !reflect.DeepEqual(c, Config{}) {
			t.Errorf("%v: a Config beside the error: %+v", tt.vars, c)
		}
	}
}

func TestAllErrorsTogether(t *testing.T) {
	_, err := Load(vars{
		"REDIS_URL": "x", "DATABASE_URL": "x", "SUPABASE_URL": "x", "OGCACHE_AUTH_TTL": "x", "OGCACHE_REDIS_BUDGET": "x",
		"OGCACHE_SERVICE_TOKEN": "x", "OGCACHE_MIGRATE": "x", "OGCACHE_WARMUP": "x", "OGCACHE_LOG_FORMAT": "x",
		"OGCACHE_LOG_LEVEL": "x", "PORT": "x", "OGCACHE_REDIS_CA_FILE": "/nowhere/ca.pem",
	}.env)
	if err == nil {
		t.Fatal("no error")
	}
	var got []string
	for line := range strings.Lines(err.Error()) {
		name, _, _ := strings.Cut(line, ":")
		got = append(got, name)
	}
	want := "REDIS_URL OGCACHE_REDIS_CA_FILE DATABASE_URL SUPABASE_URL SUPABASE_ANON_KEY OGCACHE_AUTH_TTL OGCACHE_REDIS_BUDGET " +
		"OGCACHE_SERVICE_TOKEN OGCACHE_MIGRATE OGCACHE_WARMUP OGCACHE_LOG_FORMAT OGCACHE_LOG_LEVEL PORT"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("errors of\n%s, want\n%s", s, want)
	}
}
