package testenv

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestRedisPauseAndResume(t *testing.T) {
	t.Parallel()
	s := Redis(t)
	client := s.Client(t)
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := client.Get(ctx, "k").Err(); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("GET while paused: got %v, want a timeout", err)
	}
	s.Resume()
	if got, err := client.Get(t.Context(), "k").Result(); err != nil || got != "v" {
		t.Errorf("GET after Resume: got %q, %v, want %q", got, err, "v")
	}
}

func TestRedisKillAndStart(t *testing.T) {
	t.Parallel()
	s := Redis(t)
	addr := s.Addr
	client := s.Client(t)
	if err := client.Set(t.Context(), "saved", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "unsaved", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("the port of a killed server accepts connections")
	}
	s.Start()
	if s.Addr != addr {
		t.Errorf("after Start the address is %s, want %s", s.Addr, addr)
	}
	if n, err := client.Exists(t.Context(), "saved").Result(); err != nil || n != 1 {
		t.Errorf("what was saved: got %d, %v, want 1", n, err)
	}
	if n, err := client.Exists(t.Context(), "unsaved").Result(); err != nil || n != 0 {
		t.Errorf("what was not saved: got %d, %v, want 0", n, err)
	}
}

func TestRedisStartRefusesWhileRunning(t *testing.T) {
	t.Parallel()
	if got := record(t, func(tb testing.TB) { Redis(tb).Start() }); len(got) != 1 {
		t.Errorf("got %q, want one failure", got)
	}
}

func TestRedisArgumentsOverride(t *testing.T) {
	t.Parallel()
	s := Redis(t, "--requirepass", "secret", "--maxmemory", "10mb")
	if err := s.Client(t).Ping(t.Context()).Err(); !redis.IsAuthError(err) {
		t.Errorf("PING without the password: got %v, want NOAUTH", err)
	}
	client := redis.NewClient(&redis.Options{Addr: s.Addr, Password: "secret"})
	defer client.Close()
	got, err := client.ConfigGet(t.Context(), "maxmemory").Result()
	if err != nil || got["maxmemory"] != "10485760" {
		t.Errorf("maxmemory: got %v, %v, want 10485760", got, err)
	}
}

func TestRedisSaysWhatItDisliked(t *testing.T) {
	t.Parallel()
	got := record(t, func(tb testing.TB) { Redis(tb, "--no-such-setting", "1") })
	if len(got) != 1 {
		t.Fatalf("got %q, want one failure", got)
	}
	t.Log(got[0])
}

func TestRedisTLS(t *testing.T) {
	t.Parallel()
	s := RedisTLS(t)
	client := s.Client(t)
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("PING over TLS: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	plain := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1})
	defer plain.Close()
	if err := plain.Ping(ctx).Err(); err == nil {
		t.Error("PING without TLS was answered")
	}
	untrusted, err := tls.Dial("tcp", s.Addr, nil)
	if err == nil {
		untrusted.Close()
		t.Error("the certificate was accepted without its CA")
	}
	s.Kill()
	s.Start()
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("PING over TLS after Kill and Start: %v", err)
	}
}
