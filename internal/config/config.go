// Package config reads the configuration of `dashboard serve` and of the
// operator's commands from the environment.
package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

const (
	defaultAddr     = "127.0.0.1:3001"
	maxAuthTTL      = time.Hour
	minRedisBudget  = time.Millisecond
	maxRedisBudget  = 5 * time.Second
	minServiceToken = 16
)

// LogFormat is how the log is written.
type LogFormat string

// The log formats.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// Config is the validated configuration.
type Config struct {
	Redis        *RedisConfig // nil: none configured, run uncached
	DatabaseURL  Secret       // empty: see RequireDatabase
	Supabase     *Supabase    // nil: the database's own sessions
	AuthTTL      time.Duration
	RedisBudget  time.Duration // of one request; 0: the cache client's default
	MaxLoads     int           // at once; 0: the cache client's default
	StaleFor     map[*families.Family]time.Duration
	Off          []*families.Family // switched off from the start
	ServiceToken Secret             // empty: none accepted
	Migrate      bool               // apply migrations on start
	Warmup       bool               // warm the cache on start
	LogFormat    LogFormat
	LogLevel     slog.Level
	Addr         string // to listen on
}

// Supabase says where the auth service is.
type Supabase struct {
	URL     string // without a trailing slash
	AnonKey Secret
}

// Format writes the URL whatever the verb. Without it fmt, given a verb that
// does not suit a pointer inside a struct, would show the key.
func (s Supabase) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.URL) }

// Format writes the fields as fmt does, and guards a *Config inside another
// struct as Supabase's does.
func (c Config) Format(f fmt.State, verb rune) {
	type fields Config
	fmt.Fprintf(f, fmt.FormatString(f, verb), fields(c))
}

// Load reads and validates the environment. An empty variable counts as not
// set. The error joins one error per variable that is wrong, each by name and
// without the variable's value; the Config is then zero.
func Load(env func(string) (string, bool)) (Config, error) {
	r := &reader{env: env}
	c := Config{
		Redis:        r.redis(),
		DatabaseURL:  r.databaseURL(),
		Supabase:     r.supabase(),
		AuthTTL:      r.duration("OGCACHE_AUTH_TTL", maxAuthTTL, time.Nanosecond, maxAuthTTL, "a duration above 0 and at most 1h, such as 15m"),
		RedisBudget:  r.duration("OGCACHE_REDIS_BUDGET", 0, minRedisBudget, maxRedisBudget, "a duration from 1ms to 5s, such as 50ms"),
		MaxLoads:     r.count("OGCACHE_MAX_LOADS", 10_000),
		StaleFor:     r.staleFor(),
		Off:          r.off(),
		ServiceToken: r.serviceToken(),
		Migrate:      r.boolean("OGCACHE_MIGRATE", true),
		Warmup:       r.boolean("OGCACHE_WARMUP", true),
		LogFormat:    r.logFormat(),
		LogLevel:     r.logLevel(),
		Addr:         r.addr(),
	}
	if err := errors.Join(r.errs...); err != nil {
		return Config{}, err
	}
	return c, nil
}

// RequireDatabase fails when no database is configured.
func (c Config) RequireDatabase() error {
	if c.DatabaseURL == "" {
		return &variableError{"DATABASE_URL", "is not set; expected " + databaseForm}
	}
	return nil
}

const databaseForm = "postgres://USER:PASSWORD@HOST:PORT/DATABASE"

func (r *reader) databaseURL() Secret {
	const name = "DATABASE_URL"
	v := r.get(name)
	if v == "" {
		return ""
	}
	scheme, rest, _ := strings.Cut(v, "://")
	switch {
	case scheme != "postgres" && scheme != "postgresql":
		r.fail(name, "is not a PostgreSQL address; expected "+databaseForm)
	case rest == "" || !visible(rest):
		r.fail(name, "is empty after the scheme, or contains a blank or a character outside ASCII; expected "+databaseForm+", other characters percent-encoded")
	}
	return Secret(v)
}

func (r *reader) supabase() *Supabase {
	const urlName, keyName = "SUPABASE_URL", "SUPABASE_ANON_KEY"
	address, key := r.get(urlName), r.get(keyName)
	if address == "" && key == "" {
		return nil
	}
	if address == "" {
		r.fail(urlName, "is missing while "+keyName+" is set; expected both or none")
	} else if reason := badSupabaseURL(address); reason != "" {
		r.fail(urlName, reason+"; expected https://PROJECT.supabase.co")
	}
	if key == "" {
		r.fail(keyName, "is missing while "+urlName+" is set; expected both or none")
	} else if !visible(key) {
		r.fail(keyName, "contains a blank or a character outside ASCII; expected the project's anon key")
	}
	return &Supabase{URL: strings.TrimRight(address, "/"), AnonKey: Secret(key)}
}

func badSupabaseURL(v string) string {
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Hostname() == "":
		return "is not a URL with a host"
	case u.User != nil:
		return "carries a user name or password"
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(v, "#"):
		return "carries a query or a fragment"
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return ""
	case u.Scheme == "http":
		return "is http, which would send tokens unencrypted (allowed to this machine only)"
	}
	return "is neither https nor http"
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (r *reader) serviceToken() Secret {
	const name = "OGCACHE_SERVICE_TOKEN"
	v := r.get(name)
	if v != "" && (len(v) < minServiceToken || !visible(v)) {
		r.fail(name, "is too short, or contains a blank or a character outside ASCII; expected at least 16 visible characters")
	}
	return Secret(v)
}

func (r *reader) logFormat() LogFormat {
	const name = "OGCACHE_LOG_FORMAT"
	switch f := LogFormat(r.get(name)); f {
	case LogText, LogJSON:
		return f
	case "":
	default:
		r.fail(name, "is no log format; expected text or json")
	}
	return LogText
}

func (r *reader) logLevel() slog.Level {
	const name = "OGCACHE_LOG_LEVEL"
	var level slog.Level
	if v := r.get(name); v != "" && level.UnmarshalText([]byte(v)) != nil {
		r.fail(name, "is no log level; expected debug, info, warn or error")
	}
	return level
}

func (r *reader) addr() string {
	const name = "PORT"
	v := r.get(name)
	if v == "" {
		return defaultAddr
	}
	if !validPort(v) {
		r.fail(name, "is no port; expected a number from 1 to 65535")
	}
	return net.JoinHostPort("127.0.0.1", v)
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
