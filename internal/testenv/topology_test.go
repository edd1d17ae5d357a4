package testenv

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/redis/go-redis/v9"
)

var runIDLine = regexp.MustCompile(`run_id:(\w+)`)

// setReplicated sets a key on a master and waits until a replica has it, which
// the acknowledgement alone does not mean.
func setReplicated(t *testing.T, client *redis.Client, key, value string) {
	t.Helper()
	pipe := client.Pipeline()
	pipe.Set(t.Context(), key, value, 0)
	replicas := pipe.Do(t.Context(), "wait", 1, 0)
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := replicas.Int(); err != nil || n < 1 {
		t.Fatalf("%d replicas have the key, %v", n, err)
	}
}

func TestClusterFailsOver(t *testing.T) {
	t.Parallel()
	c := RedisCluster(t)
	client := c.Client(t)
	masters := map[*RedisServer]int{}
	for i := range 100 {
		key := fmt.Sprint("k", i)
		if err := client.Set(t.Context(), key, i, 0).Err(); err != nil {
			t.Fatal(err)
		}
		masters[c.MasterOf(key)]++
	}
	if len(masters) != clusterMasters {
		t.Errorf("the keys lie on %d masters, want %d", len(masters), clusterMasters)
	}
	lost := c.MasterOf("k1")
	setReplicated(t, lost.Client(t), "k1", "v")
	lost.Kill()
	c.WaitFailedOver(lost)
	if now := c.MasterOf("k1"); now == lost {
		t.Error("the killed node is still the key's master")
	}
	if got, err := c.Client(t).Get(t.Context(), "k1").Result(); err != nil || got != "v" {
		t.Errorf("after the failover: got %q, %v", got, err)
	}
	lost.Start()
	c.WaitReady()
}

func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	for name, password := range map[string]string{"open": "", "password": "a \"secret\""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := RedisSentinel(t, password)
			lost := s.Master()
			if password != "" {
				if err := lost.Client(t).Ping(t.Context()).Err(); !redis.IsAuthError(err) {
					t.Errorf("PING without the password: got %v", err)
				}
			}
			setReplicated(t, lost.clientAs(t, password), "k", "v")
			lost.Pause()
			next := s.WaitFailedOver(lost)
			if next == lost || s.Master() != next {
				t.Errorf("the master was %s, is said to be %s, and is %s", lost.Addr, next.Addr, s.Master().Addr)
			}
			// A client that was given the old master may not know yet.
			if got, err := s.Client(t).Get(t.Context(), "k").Result(); err != nil || got != "v" {
				t.Errorf("after the failover: got %q, %v", got, err)
			}
		})
	}
}

// A deletion after the snapshot is forgotten by the restart: what the cache
// client must not serve.
func TestSnapshotBringsDeletedKeysBack(t *testing.T) {
	t.Parallel()
	s := Redis(t)
	client := s.Client(t)
	if err := client.Set(t.Context(), "k", "old", 0).Err(); err != nil {
		t.Fatal(err)
	}
	before, err := client.Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	s.Snapshot()
	if n, err := client.Unlink(t.Context(), "k").Result(); n != 1 || err != nil {
		t.Fatalf("UNLINK removed %d keys, %v", n, err)
	}
	s.Kill()
	s.Start()
	if got, err := client.Get(t.Context(), "k").Result(); err != nil || got != "old" {
		t.Errorf("got %q, %v, want the deleted value", got, err)
	}
	after, err := client.Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	if runID(t, before) == runID(t, after) {
		t.Error("the restart cannot be told by the server's run id")
	}
}

func runID(t *testing.T, info string) string {
	t.Helper()
	m := runIDLine.FindStringSubmatch(info)
	if m == nil {
		t.Fatalf("no run_id in %q", info)
	}
	return m[1]
}

func TestUserByArguments(t *testing.T) {
	t.Parallel()
	s := Redis(t, "--user", "app", "on", ">secret", "~*", "+get", "--user", "default", "off")
	client := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "app", Password: "secret", MaxRetries: -1})
	defer client.Close()
	if err := client.Get(t.Context(), "k").Err(); err != redis.Nil {
		t.Errorf("GET: %v", err)
	}
	if err := client.Set(t.Context(), "k", "v", 0).Err(); !redis.HasErrorPrefix(err, "NOPERM") {
		t.Errorf("SET: got %v, want NOPERM", err)
	}
}
