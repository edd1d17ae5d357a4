package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const marker = "Xs3cr3tX"

// shown is everything that c looks like in logs and messages.
func shown(t *testing.T, c Config) string {
	t.Helper()
	var b bytes.Buffer
	for _, v := range []any{c, &c, struct{ C *Config }{&c}, c.Redis, c.Supabase, c.DatabaseURL, c.ServiceToken} {
		fmt.Fprintf(&b, "%v\n%+v\n%#v\n%s\n%q\n%x\n%d\n", v, v, v, v, v, v, v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("config", "config", v)
		slog.New(slog.NewTextHandler(&b, nil)).Info("config", "config", v)
		j, err := json.Marshal(v)
		if err != nil {
			t.Errorf("marshalling %T: %v", v, err)
		}
		b.Write(j)
	}
	if c.Redis != nil {
		fmt.Fprintf(&b, "%v %#v %s", *c.Redis, *c.Redis, c.Redis.Description())
	}
	return b.String()
}

func leaks(s string) bool {
	return strings.Contains(s, marker) || strings.Contains(s, fmt.Sprintf("%x", marker))
}

func TestSecretsAreNotShown(t *testing.T) {
	rest := vars{
		"DATABASE_URL": "postgres://u:" + marker + "@h/d", "SUPABASE_URL": "https://h", "SUPABASE_ANON_KEY": marker,
		"OGCACHE_SERVICE_TOKEN": marker + marker,
	}
	for _, redisVars := range []vars{
		{"REDIS_URL": "rediss://u:" + marker + "@h"},
		{"REDIS_URL": "redis://" + marker + ":p@h"},
		{"REDIS_URL": "redis://u:" + marker + "@a,b"},
		{"REDIS_URL": "redis+sentinel://:" + marker + "@a,b/main"},
		{"UPSTASH_REDIS_REST_URL": "https://h", "UPSTASH_REDIS_REST_TOKEN": marker},
	} {
		for name, value := range rest {
			redisVars[name] = value
		}
		c := load(t, redisVars)
		if s := shown(t, c); leaks(s) {
			t.Errorf("%v: shows a secret:\n%s", redisVars, s)
		}
	}
}

func TestSecretsAreNotInErrors(t *testing.T) {
	bad := vars{}
	for _, name := range recordNames(t) {
		bad[name] = marker + " \x01"
	}
	for _, address := range []string{
		marker, "redis://:" + marker + "%zz@h", "redis://h/" + marker, "redis://:1/" + marker + "@h", "redis://:1?" + marker + "@h",
		"redis://h:" + marker, "redis://a,b:" + marker, "redis://" + marker + "@h", "redis+sentinel://h/m/" + marker, "://" + marker, "unix://" + marker,
	} {
		bad["REDIS_URL"] = address
		bad["UPSTASH_REDIS_REST_URL"], bad["UPSTASH_REDIS_REST_TOKEN"] = "", ""
		_, err := Load(bad.env)
		if err == nil || !strings.Contains(err.Error(), "REDIS_URL: ") {
			t.Errorf("%q: got error %v", address, err)
		} else if leaks(err.Error()) {
			t.Errorf("%q: the error shows it: %v", address, err)
		}
	}
	for _, address := range []string{marker, "https://u:" + marker + "@h", "https://h/%zz" + marker, "http://" + marker} {
		bad["REDIS_URL"], bad["UPSTASH_REDIS_REST_URL"], bad["SUPABASE_URL"] = "", address, address
		if _, err := Load(bad.env); err == nil || leaks(err.Error()) {
			t.Errorf("%q: got error %v", address, err)
		}
	}
}

func TestSecret(t *testing.T) {
	s := Secret(marker)
	if s.Reveal() != marker {
		t.Errorf("Reveal: %q", s.Reveal())
	}
	if s.String() != "[secret]" || fmt.Sprintf("%#v", s) != `"[secret]"` {
		t.Errorf("shown as %s and %#v", s, s)
	}
	if got := fmt.Sprint(Secret("")); got != "" {
		t.Errorf("an empty secret shows as %q", got)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("redis://u", "h:6379/1", "1h")
	f.Add("rediss://", "a:1,b:2", "text")
	f.Add("redis+sentinel://", "a,b/main/2", "true")
	f.Add("rediss+sentinel://x/", "[::1]:1/m", "\x00")
	f.Add("https://", "h", "999")
	f.Add("redis://a,b?", "#/%zz", "debug")
	f.Add("postgres://u", "h/d?sslmode=require", "")
	f.Fuzz(func(t *testing.T, before, after, plain string) {
		if leaks(before + after + plain) {
			return
		}
		v := vars{}
		for _, name := range recordNames(t) {
			v[name] = plain
		}
		address := before + ":" + marker + "@" + after
		for _, name := range []string{"REDIS_URL", "DATABASE_URL", "SUPABASE_URL", "UPSTASH_REDIS_REST_URL"} {
			v[name] = address
		}
		v["SUPABASE_ANON_KEY"], v["OGCACHE_SERVICE_TOKEN"] = marker+plain, plain+marker+marker
		delete(v, "OGCACHE_REDIS_CA_FILE")
		only := func(name string) vars { return vars{name: address} }
		alone := only("REDIS_URL")
		upstash := vars{"UPSTASH_REDIS_REST_URL": before, "UPSTASH_REDIS_REST_TOKEN": marker + after}
		for _, v := range []vars{v, alone, only("DATABASE_URL"), upstash} {
			c, err := Load(v.env)
			if err != nil && leaks(err.Error()) {
				t.Errorf("the error shows the secret: %v", err)
			}
			if s := shown(t, c); leaks(s) {
				t.Errorf("the configuration shows the secret:\n%s", s)
			}
			if err == nil && c.Redis != nil && len(c.Redis.Addrs) == 0 {
				t.Error("Redis without an address")
			}
		}
	})
}
