package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	sentinels = 3
	quorum    = 2
	replicas  = 2
)

// Sentinel is a Redis master with two replicas and three Sentinels.
type Sentinel struct {
	// Nodes are the servers; which of them is the master changes by failovers.
	Nodes []*RedisServer
	// Sentinels watch them.
	Sentinels []*RedisServer
	// MasterName is what the Sentinels call the master.
	MasterName string

	tb       testing.TB
	password string
}

// RedisSentinel starts servers under Sentinels that give a master up after
// half a second. The servers ask for the password, the Sentinels do not; ""
// means none.
func RedisSentinel(tb testing.TB, password string) *Sentinel {
	tb.Helper()
	s := &Sentinel{MasterName: "cache", tb: tb, password: password}
	args := []string{"--repl-diskless-sync-delay", "0", "--requirepass", password, "--masterauth", password}
	s.Nodes = append(s.Nodes, Redis(tb, args...))
	host, port := s.hostPort(s.Nodes[0])
	for range replicas {
		s.Nodes = append(s.Nodes, Redis(tb, slices.Concat(args, []string{"--replicaof", host, port})...))
	}
	for _, node := range s.Nodes {
		client := node.clientAs(s.tb, password)
		node.wait("to replicate", func(ctx context.Context) error { return linked(ctx, client, replicas) })
	}
	for range sentinels {
		s.Sentinels = append(s.Sentinels, s.sentinel(host, port))
	}
	s.WaitReady()
	return s
}

func (s *Sentinel) sentinel(host, port string) *RedisServer {
	s.tb.Helper()
	server := &RedisServer{tb: s.tb, path: redisServer.mustFind(s.tb)}
	dir := s.tb.TempDir()
	file := filepath.Join(dir, "sentinel.conf") // Sentinel writes what it learns into it
	server.serve(func(own int) []string {
		conf := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %q\nloglevel warning\nsentinel monitor %s %s %s %d\n",
			own, dir, s.MasterName, host, port, quorum)
		for setting, value := range map[string]string{"down-after-milliseconds": "500", "failover-timeout": "2000"} {
			conf += fmt.Sprintf("sentinel %s %s %s\n", setting, s.MasterName, value)
		}
		if s.password != "" {
			conf += fmt.Sprintf("sentinel auth-pass %s %q\n", s.MasterName, s.password)
		}
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			s.tb.Fatal("testenv: sentinel: ", err)
		}
		return []string{file, "--sentinel"}
	})
	return server
}

// SentinelAddrs returns the addresses of the Sentinels.
func (s *Sentinel) SentinelAddrs() []string {
	var addrs []string
	for _, server := range s.Sentinels {
		addrs = append(addrs, server.Addr)
	}
	return addrs
}

// Master returns the server that the first Sentinel takes for the master.
func (s *Sentinel) Master() *RedisServer {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	addr, err := s.masterAddr(ctx, s.ask(s.Sentinels[0]))
	if err != nil {
		s.tb.Fatal("testenv: asking a Sentinel for the master: ", err)
	}
	i := slices.IndexFunc(s.Nodes, func(n *RedisServer) bool { return n.Addr == addr })
	if i < 0 {
		s.tb.Fatalf("testenv: the Sentinels' master %s is none of the servers", addr)
	}
	return s.Nodes[i]
}

func (s *Sentinel) masterAddr(ctx context.Context, sentinel *redis.SentinelClient) (string, error) {
	parts, err := sentinel.GetMasterAddrByName(ctx, s.MasterName).Result()
	if err != nil {
		return "", err
	}
	if len(parts) != 2 {
		return "", fmt.Errorf("a Sentinel says that the master is %q", parts)
	}
	return net.JoinHostPort(parts[0], parts[1]), nil
}

// WaitReady waits until every Sentinel knows the others, the master and its
// replicas, and takes them all for sound.
func (s *Sentinel) WaitReady() {
	s.tb.Helper()
	for _, server := range s.Sentinels {
		sentinel := s.ask(server)
		server.wait("to know all", func(ctx context.Context) error { return s.ready(ctx, sentinel) })
	}
}

func (s *Sentinel) ready(ctx context.Context, sentinel *redis.SentinelClient) error {
	master, err := sentinel.Master(ctx, s.MasterName).Result()
	if err != nil {
		return err
	}
	if master["flags"] != "master" || master["num-other-sentinels"] != strconv.Itoa(sentinels-1) {
		return fmt.Errorf("it sees a %s and %s other Sentinels", master["flags"], master["num-other-sentinels"])
	}
	known, err := sentinel.Replicas(ctx, s.MasterName).Result()
	if err != nil {
		return err
	}
	sound := 0
	for _, replica := range known {
		if replica["flags"] == "slave" && replica["master-link-status"] == "ok" {
			sound++
		}
	}
	if sound != replicas {
		return fmt.Errorf("it sees %d sound replicas", sound)
	}
	return nil
}

// WaitFailedOver waits until every Sentinel names another master than the lost
// one and that takes writes, and returns it.
func (s *Sentinel) WaitFailedOver(lost *RedisServer) *RedisServer {
	s.tb.Helper()
	for _, server := range s.Sentinels {
		sentinel := s.ask(server)
		server.wait("to replace "+lost.Addr, func(ctx context.Context) error {
			addr, err := s.masterAddr(ctx, sentinel)
			if err == nil && addr == lost.Addr {
				err = errors.New("it has no other master yet")
			}
			return err
		})
	}
	master := s.Master()
	client := master.clientAs(s.tb, s.password)
	master.wait("to be the master", func(ctx context.Context) error {
		role, err := client.Do(ctx, "role").Slice()
		if err != nil {
			return err
		}
		if len(role) == 0 || role[0] != "master" {
			return fmt.Errorf("its role is %v", role)
		}
		return nil
	})
	return master
}

func (s *Sentinel) ask(server *RedisServer) *redis.SentinelClient {
	s.tb.Helper()
	client := redis.NewSentinelClient(&redis.Options{
		Addr: server.Addr, DisableIdentity: true, ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	s.tb.Cleanup(func() { closeClient(s.tb, client) })
	return client
}

func (s *Sentinel) hostPort(node *RedisServer) (host, port string) {
	s.tb.Helper()
	host, port, err := net.SplitHostPort(node.Addr)
	if err != nil {
		s.tb.Fatal("testenv: ", err)
	}
	return host, port
}

// Client returns a plain client that follows the master, with go-redis's
// defaults. It is closed when the test ends.
func (s *Sentinel) Client(tb testing.TB) *redis.Client {
	tb.Helper()
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: s.MasterName, SentinelAddrs: s.SentinelAddrs(), Password: s.password,
		DisableIdentity: true, ContextTimeoutEnabled: true,
	})
	tb.Cleanup(func() { closeClient(tb, client) })
	return client
}
