package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"
)

const (
	redisURLName     = "REDIS_URL"
	upstashURLName   = "UPSTASH_REDIS_REST_URL"
	upstashTokenName = "UPSTASH_REDIS_REST_TOKEN"
	caFileName       = "OGCACHE_REDIS_CA_FILE"

	redisPort    = "6379"
	sentinelPort = "26379"
	maxCAFile    = 1 << 20
)

// RedisConfig says where Redis is. Several addresses are the seeds of a
// Cluster, or with MasterName the Sentinels. However it is formatted or
// marshalled, only its Description shows.
type RedisConfig struct {
	Addrs      []string
	Username   string
	Password   Secret
	DB         int
	TLS        *tls.Config // nil: plain TCP; without ServerName: each address's own host
	MasterName string      // of the Sentinels' master
	Cluster    bool
}

// Description names the place, without user name and password.
func (c RedisConfig) Description() string {
	at := strings.Join(c.Addrs, ", ")
	switch {
	case c.MasterName != "":
		return "Sentinel master " + c.MasterName + " at " + at
	case c.Cluster:
		return "Redis Cluster at " + at
	}
	return "Redis at " + at
}

// Format writes the Description whatever the verb.
func (c RedisConfig) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.Description()) }

// MarshalText is what encoding/json and slog see.
func (c RedisConfig) MarshalText() ([]byte, error) { return []byte(c.Description()), nil }

func (r *reader) redis() *RedisConfig {
	before := len(r.errs)
	address, upstash, token := r.get(redisURLName), r.get(upstashURLName), r.get(upstashTokenName)
	var c *RedisConfig
	switch {
	case address != "" && (upstash != "" || token != ""):
		r.fail(redisURLName, "is set together with "+upstashURLName+" or "+upstashTokenName+"; expected one way to reach Redis")
	case address != "":
		var err error
		if c, err = parseRedisURL(address); err != nil {
			r.fail(redisURLName, err.Error())
		}
	case upstash != "" || token != "":
		c = r.upstash(upstash, token)
	}
	pool := r.redisCA()
	if pool == nil || len(r.errs) > before {
		return c
	}
	if c == nil || c.TLS == nil {
		r.fail(caFileName, "is set, but Redis is not reached over TLS; expected it with rediss:// or rediss+sentinel:// in "+redisURLName)
		return c
	}
	c.TLS.RootCAs = pool
	return c
}

func (r *reader) upstash(address, token string) *RedisConfig {
	var host string
	if address == "" {
		r.fail(upstashURLName, "is missing while "+upstashTokenName+" is set; expected both")
	} else {
		var reason string
		if host, reason = upstashHost(address); reason != "" {
			r.fail(upstashURLName, reason+"; expected https://HOST as the Upstash console shows it")
		}
	}
	switch {
	case token == "":
		r.fail(upstashTokenName, "is missing while "+upstashURLName+" is set; expected both")
	case token == "your-token-here":
		r.fail(upstashTokenName, "is the guide's placeholder; expected the token that the Upstash console shows")
	case !visible(token):
		r.fail(upstashTokenName, "contains a blank or a character outside ASCII; expected the token that the Upstash console shows")
	}
	return &RedisConfig{
		Addrs:    []string{net.JoinHostPort(host, redisPort)},
		Username: "default", // the REST token is this user's password
		Password: Secret(token),
		TLS:      &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host},
	}
}

func upstashHost(address string) (host, reason string) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return "", "is not a URL"
	case u.Scheme != "https":
		return "", "is not https (a redis:// or rediss:// address belongs in " + redisURLName + ")"
	case u.User != nil:
		return "", "carries a user name or password"
	case !validHost(u.Hostname()):
		return "", "has no valid host"
	case strings.EqualFold(u.Hostname(), "your-redis.upstash.io"):
		return "", "is the guide's placeholder"
	case u.Port() != "" && u.Port() != "443", strings.Trim(u.Path, "/") != "", strings.ContainsAny(address, "?#"):
		return "", "carries more than a host"
	}
	return u.Hostname(), ""
}

// redisCA returns the private CA for Redis, nil when there is none.
func (r *reader) redisCA() *x509.CertPool {
	path := r.get(caFileName)
	if path == "" {
		return nil
	}
	// A pipe or a device might never end.
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxCAFile {
		r.fail(caFileName, "names no regular file of at most 1 MiB; expected the path of a PEM file")
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		r.fail(caFileName, "names a file that cannot be read; expected the path of a PEM file")
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		r.fail(caFileName, "names a file without a certificate; expected the path of a PEM file")
		return nil
	}
	return pool
}

// redisAddress is a Redis URL taken apart, before its hosts are looked at:
// lists of hosts are beyond net/url.
type redisAddress struct {
	secured, sentinel bool
	userinfo          string // with its "@", or empty
	hosts             []string
	path              []string
}

// parseRedisURL reads a Redis URL. Its errors quote nothing of it.
func parseRedisURL(v string) (*RedisConfig, error) {
	a, err := splitRedisURL(v)
	if err != nil {
		return nil, err
	}
	c := &RedisConfig{}
	if a.sentinel {
		if len(a.path) == 0 {
			return nil, errors.New("lacks the name of the Sentinels' master; expected redis+sentinel://HOST:26379,HOST:26379/MASTER")
		}
		c.MasterName, a.path = a.path[0], a.path[1:]
	}
	if len(a.path) > 1 {
		return nil, errors.New("has too many parts after the host; expected one database number at most")
	}
	c.Cluster = len(a.hosts) > 1 && !a.sentinel
	for _, host := range a.hosts {
		o, err := a.parseOne(host)
		if err != nil {
			return nil, err
		}
		c.Addrs = append(c.Addrs, o.Addr)
		c.Username, c.Password, c.DB, c.TLS = o.Username, Secret(o.Password), o.DB, o.TLSConfig
	}
	if c.TLS != nil && (c.Cluster || a.sentinel) {
		c.TLS.ServerName = "" // each node has its own
	}
	switch {
	case c.DB < 0:
		return nil, errors.New("has a negative database number; expected 0 or more")
	case c.Cluster && c.DB != 0:
		return nil, errors.New("selects a database of a Cluster, which has only database 0; expected a list of hosts alone")
	case c.Username != "" && c.Password == "":
		return nil, errors.New("has a user name without a password; expected redis://USER:PASSWORD@HOST, or redis://:PASSWORD@HOST for a password alone")
	}
	return c, nil
}

// parseOne parses the URL as if host were its only one.
func (a redisAddress) parseOne(host string) (*redis.Options, error) {
	port := redisPort
	if a.sentinel {
		port = sentinelPort
	}
	addr, ok := withPort(host, port)
	if !ok {
		return nil, errors.New("has an invalid or missing host or port; expected HOST:PORT, several separated by commas, an IPv6 address in brackets")
	}
	scheme := "redis://"
	if a.secured {
		scheme = "rediss://"
	}
	o, err := redis.ParseURL(scheme + a.userinfo + addr + "/" + strings.Join(a.path, "/"))
	if err != nil { // quotes the URL
		return nil, errors.New("cannot be parsed; expected redis://USER:PASSWORD@HOST:PORT/NUMBER, with special characters in the password percent-encoded")
	}
	return o, nil
}

func splitRedisURL(v string) (redisAddress, error) {
	var a redisAddress
	scheme, rest, _ := strings.Cut(v, "://")
	switch scheme {
	case "redis":
	case "rediss":
		a.secured = true
	case "redis+sentinel":
		a.sentinel = true
	case "rediss+sentinel":
		a.sentinel, a.secured = true, true
	case "unix":
		return a, errors.New("is a Unix socket, which is not supported; expected redis://HOST:PORT")
	default:
		return a, errors.New("has an unknown scheme; expected redis://, rediss://, redis+sentinel:// or rediss+sentinel://")
	}
	// Also what an unencoded password would look like.
	authority, path, _ := strings.Cut(rest, "/")
	if strings.ContainsAny(rest, "?#") || strings.Contains(path, "@") {
		return a, errors.New("has a query, a fragment or a misplaced /; expected none, and special characters in the password percent-encoded")
	}
	if !visible(rest) {
		return a, errors.New("contains a blank or a character outside ASCII; expected it percent-encoded")
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		a.userinfo, authority = authority[:at+1], authority[at+1:]
	}
	a.hosts = strings.Split(authority, ",")
	a.path = strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
	return a, nil
}

// withPort completes "host", "host:port", "[v6]" or "[v6]:port".
func withPort(s, port string) (string, bool) {
	host := s
	if h, p, err := net.SplitHostPort(s); err == nil {
		host, port = h, p
	} else if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		host = s[1 : len(s)-1]
	} else if strings.Contains(s, ":") { // IPv6 whose last group may be a port
		return "", false
	}
	return net.JoinHostPort(host, port), validPort(port) && validHost(host)
}

func validHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Zone() == ""
	}
	return host != "" && len(host) <= 253 && !strings.ContainsFunc(host, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_'
	})
}
