package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestRedis(t *testing.T) {
	type want struct {
		RedisConfig
		tls         bool
		serverName  string
		description string
	}
	for name, tt := range map[string]struct {
		vars vars
		want want
	}{
		"upstash": {
			vars{"UPSTASH_REDIS_REST_URL": "https://eu1.upstash.io/", "UPSTASH_REDIS_REST_TOKEN": "t0ken="},
			want{RedisConfig{Addrs: []string{"eu1.upstash.io:6379"}, Username: "default", Password: "t0ken="}, true, "eu1.upstash.io", "Redis at eu1.upstash.io:6379"},
		},
		"host alone": {
			vars{"REDIS_URL": "redis://h"},
			want{RedisConfig{Addrs: []string{"h:6379"}}, false, "", "Redis at h:6379"},
		},
		"user, password, database": {
			vars{"REDIS_URL": "redis://u:p%40%2f@h:7000/3"},
			want{RedisConfig{Addrs: []string{"h:7000"}, Username: "u", Password: "p@/", DB: 3}, false, "", "Redis at h:7000"},
		},
		"password alone, TLS": {
			vars{"REDIS_URL": "rediss://:p@h/"},
			want{RedisConfig{Addrs: []string{"h:6379"}, Password: "p"}, true, "h", "Redis at h:6379"},
		},
		"IPv6": {
			vars{"REDIS_URL": "redis://[::1]:7000"},
			want{RedisConfig{Addrs: []string{"[::1]:7000"}}, false, "", "Redis at [::1]:7000"},
		},
		"IPv6 without port": {
			vars{"REDIS_URL": "rediss://[::1]"},
			want{RedisConfig{Addrs: []string{"[::1]:6379"}}, true, "::1", "Redis at [::1]:6379"},
		},
		"cluster": {
			vars{"REDIS_URL": "redis://u:p@a:1,b:2,c"},
			want{RedisConfig{Addrs: []string{"a:1", "b:2", "c:6379"}, Username: "u", Password: "p", Cluster: true}, false, "", "Redis Cluster at a:1, b:2, c:6379"},
		},
		"cluster, TLS": {
			vars{"REDIS_URL": "rediss://a,b/0"},
			want{RedisConfig{Addrs: []string{"a:6379", "b:6379"}, Cluster: true}, true, "", "Redis Cluster at a:6379, b:6379"},
		},
		"sentinel": {
			vars{"REDIS_URL": "redis+sentinel://:p@a:1,b/main/2"},
			want{RedisConfig{Addrs: []string{"a:1", "b:26379"}, Password: "p", DB: 2, MasterName: "main"}, false, "", "Sentinel master main at a:1, b:26379"},
		},
		"one sentinel, TLS": {
			vars{"REDIS_URL": "rediss+sentinel://a/main"},
			want{RedisConfig{Addrs: []string{"a:26379"}, MasterName: "main"}, true, "", "Sentinel master main at a:26379"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := load(t, tt.vars).Redis
			if c == nil {
				t.Fatal("no Redis")
			}
			if (c.TLS != nil) != tt.want.tls {
				t.Fatalf("TLS is %v, want %v", c.TLS != nil, tt.want.tls)
			}
			if c.TLS != nil && c.TLS.ServerName != tt.want.serverName {
				t.Errorf("server name %q, want %q", c.TLS.ServerName, tt.want.serverName)
			}
			if got := c.Description(); got != tt.want.description {
				t.Errorf("description %q, want %q", got, tt.want.description)
			}
			got := *c
			got.TLS = nil
			if !reflect.DeepEqual(got, tt.want.RedisConfig) {
				t.Errorf("got %v user %q password %q database %d, want %v user %q password %q database %d",
					got, got.Username, got.Password.Reveal(), got.DB,
					tt.want.RedisConfig, tt.want.Username, tt.want.Password.Reveal(), tt.want.DB)
			}
		})
	}
}

func TestPrivateCA(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.pem")
	certificate := writeCA(t, path)
	for _, v := range []vars{
		{"REDIS_URL": "rediss://h"},
		{"REDIS_URL": "rediss://a,b"},
		{"REDIS_URL": "rediss+sentinel://a/main"},
		{"UPSTASH_REDIS_REST_URL": "https://h", "UPSTASH_REDIS_REST_TOKEN": "t0ken"},
	} {
		v[caFileName] = path
		c := load(t, v)
		if _, err := certificate.Verify(x509.VerifyOptions{Roots: c.Redis.TLS.RootCAs}); err != nil {
			t.Errorf("%v: the CA is not trusted: %v", v, err)
		}
	}
	for _, v := range []vars{{}, {"REDIS_URL": "redis://h"}} {
		v[caFileName] = path
		_, err := Load(v.env)
		if want := caFileName + ": is set, but Redis is not reached over TLS; expected it with rediss:// or rediss+sentinel:// in REDIS_URL"; err == nil || err.Error() != want {
			t.Errorf("%v: got error %v, want %s", v, err, want)
		}
	}
}

func writeCA(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
