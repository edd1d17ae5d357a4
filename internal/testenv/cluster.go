package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	clusterMasters = 3
	clusterSlots   = 16384
)

// Cluster is a Redis Cluster of three masters with a replica each.
type Cluster struct {
	// Nodes are its servers; which of them are masters changes by failovers.
	Nodes []*RedisServer

	tb testing.TB
}

// RedisCluster starts a Redis Cluster that gives a master up after a second.
// It needs Redis 7. The arguments override the settings of every node.
func RedisCluster(tb testing.TB, args ...string) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb}
	path := redisServer.mustFind(tb)
	for range 2 * clusterMasters {
		node := &RedisServer{tb: tb, path: path}
		dir := tb.TempDir()
		node.serve(func(port int) []string {
			return slices.Concat(settings(dir), []string{
				"--port", strconv.Itoa(port), "--cluster-port", strconv.Itoa(port + 1),
				"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
				"--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0",
				"--cluster-allow-replica-migration", "no", "--repl-diskless-sync-delay", "0",
			}, args)
		})
		c.Nodes = append(c.Nodes, node)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.form(ctx); err != nil {
		tb.Fatal("testenv: forming a Redis Cluster: ", err)
	}
	c.WaitReady()
	return c
}

// form makes one cluster of the nodes: the first three get the slots, the
// others a master each.
func (c *Cluster) form(ctx context.Context) error {
	first := c.Nodes[0].Client(c.tb)
	for i, node := range c.Nodes {
		client := node.Client(c.tb)
		// Without epochs of their own the nodes would have to vote on them.
		if err := client.Do(ctx, "cluster", "set-config-epoch", i+1).Err(); err != nil {
			return err
		}
		if i < clusterMasters {
			from, to := i*clusterSlots/clusterMasters, (i+1)*clusterSlots/clusterMasters-1
			if err := client.ClusterAddSlotsRange(ctx, from, to).Err(); err != nil {
				return err
			}
		}
		host, port, _ := strings.Cut(node.Addr, ":")
		n, err := strconv.Atoi(port)
		if err != nil {
			return err
		}
		if err := first.Do(ctx, "cluster", "meet", host, n, n+1).Err(); err != nil {
			return err
		}
	}
	for i := range clusterMasters {
		id, err := c.Nodes[i].Client(c.tb).ClusterMyID(ctx).Result()
		if err != nil {
			return err
		}
		replica := c.Nodes[clusterMasters+i]
		client := replica.Client(c.tb)
		// It is refused until the replica has heard of its master.
		err = replica.child.ready(ctx, func(ctx context.Context) error { return client.ClusterReplicate(ctx, id).Err() })
		if err != nil {
			return fmt.Errorf("making %s a replica: %w", replica.Addr, err)
		}
	}
	return nil
}

// Addrs returns the addresses of all nodes.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, node := range c.Nodes {
		addrs = append(addrs, node.Addr)
	}
	return addrs
}

// MasterOf returns the node that serves the key at present.
func (c *Cluster) MasterOf(key string) *RedisServer {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	master, err := c.Client(c.tb).MasterForKey(ctx, key)
	if err != nil {
		c.tb.Fatal("testenv: looking for a key's master: ", err)
	}
	i := slices.Index(c.Addrs(), master.Options().Addr)
	if i < 0 {
		c.tb.Fatalf("testenv: a key's master is %s, which is none of %v", master.Options().Addr, c.Addrs())
	}
	return c.Nodes[i]
}

// WaitReady waits until all nodes agree on a cluster in which every slot is
// served and every master has a linked replica.
func (c *Cluster) WaitReady() {
	c.tb.Helper()
	for _, node := range c.Nodes {
		client := node.Client(c.tb)
		node.wait("to be ready", func(ctx context.Context) error { return c.ready(ctx, client) })
	}
}

func (c *Cluster) ready(ctx context.Context, client *redis.Client) error {
	if err := serves(ctx, client, ""); err != nil {
		return err
	}
	nodes, err := client.ClusterNodes(ctx).Result()
	if err != nil {
		return err
	}
	replicas := strings.Count(nodes, "slave ")
	if replicas != len(c.Nodes)-clusterMasters || strings.Contains(nodes, "fail") || strings.Contains(nodes, "handshake") {
		return fmt.Errorf("it sees %d sound replicas:\n%s", replicas, nodes)
	}
	return linked(ctx, client, 1)
}

// WaitFailedOver waits until all nodes but the lost one agree that others
// serve its slots.
func (c *Cluster) WaitFailedOver(lost *RedisServer) {
	c.tb.Helper()
	for _, node := range c.Nodes {
		if node != lost {
			client := node.Client(c.tb)
			node.wait("to replace "+lost.Addr, func(ctx context.Context) error { return serves(ctx, client, lost.Addr) })
		}
	}
}

// serves returns nil when the node sees every slot served, none by lost.
func serves(ctx context.Context, client *redis.Client, lost string) error {
	info, err := client.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "cluster_state:ok") {
		return errors.New("it does not say cluster_state:ok")
	}
	shards, err := client.ClusterShards(ctx).Result()
	if err != nil {
		return err
	}
	served := 0
	for _, shard := range shards {
		serving := slices.ContainsFunc(shard.Nodes, func(n redis.Node) bool {
			return n.Role == "master" && net.JoinHostPort(n.IP, strconv.FormatInt(n.Port, 10)) != lost
		})
		for _, r := range shard.Slots {
			if serving {
				served += int(r.End - r.Start + 1)
			}
		}
	}
	if served != clusterSlots {
		return fmt.Errorf("%d slots are served", served)
	}
	return nil
}

// linked returns nil when a master has so many replicas that are in step, and
// when a replica is in step itself.
func linked(ctx context.Context, client *redis.Client, replicas int) error {
	info, err := client.Info(ctx, "replication").Result()
	if err != nil {
		return err
	}
	if strings.Contains(info, "role:master") {
		if strings.Count(info, "state=online") != replicas {
			return fmt.Errorf("not %d of its replicas are online", replicas)
		}
		return nil
	}
	if !strings.Contains(info, "master_link_status:up") {
		return errors.New("its link to its master is not up")
	}
	return nil
}

// Client returns a plain client of the cluster, with go-redis's defaults. It
// is closed when the test ends.
func (c *Cluster) Client(tb testing.TB) *redis.ClusterClient {
	tb.Helper()
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: c.Addrs(), DisableIdentity: true, ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	tb.Cleanup(func() { closeClient(tb, client) })
	return client
}
