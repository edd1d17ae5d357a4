package instrumented

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/testenv"
)

// openNearby returns a cache with a near cache in use, and its server.
func openNearby(t *testing.T, o Options, args ...string) (*Cache, *testenv.RedisServer) {
	t.Helper()
	server := testenv.Redis(t, args...)
	o.Near, o.Freshness = []*families.Family{families.UserProfile}, -1
	c := openReal(t, RedisOptions{Addrs: []string{server.Addr}}, o)
	eventually(t, "near hits", func() bool { return fetch(t, c, "first") == NearHit })
	return c, server
}

func TestNearCacheFollowsChangesMadeElsewhere(t *testing.T) {
	c, server := openNearby(t, Options{})
	profiles := For[profile](c, families.UserProfile)
	other := server.Client(t)
	for _, change := range []func() error{
		func() error { return other.Del(t.Context(), "user:profile:first").Err() },
		func() error { return other.FlushAll(t.Context()).Err() },
	} {
		eventually(t, "near hits", func() bool { return fetch(t, c, "first") == NearHit })
		if err := change(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the change arrives", func() bool {
			_, found, err := profiles.Get(t.Context(), "first")
			return err == nil && !found
		})
	}
	if n := c.reasons(families.UserProfile, nearHit); n < 2 {
		t.Errorf("%v near hits were counted", n)
	}
}

func TestProcessReadsItsOwnWrites(t *testing.T) {
	c, _ := openNearby(t, Options{})
	profiles := For[profile](c, families.UserProfile)
	for i := range 300 {
		name := fmt.Sprint(i)
		if err := c.Delete(t.Context(), key(t, families.UserProfile, "first")); err != nil {
			t.Fatal(err)
		}
		if p, err := profiles.Fetch(t.Context(), "first", returns(profile{Name: name})); err != nil || p.Name != name {
			t.Fatalf("after write %d the process read %+v, %v", i, p, err)
		}
		for range 3 {
			if p, err := profiles.Fetch(t.Context(), "first", never(t)); err != nil || p.Name != name {
				t.Fatalf("then %+v, %v", p, err)
			}
		}
	}
}

func TestReplyUnderWayIsNotKeptPastAChange(t *testing.T) {
	c, _ := openNearby(t, Options{})
	n := c.view(families.UserProfile).near
	value := envelope{expires: time.Now().Add(time.Hour)}
	ticket := n.ticket("user_1")
	n.forget("user_1")
	n.keep(ticket, "user_1", profile{}, value, 1)
	if _, ok := n.values.GetIfPresent("user_1"); ok {
		t.Error("a value asked for before a change was kept after it")
	}
	ticket = n.ticket("user_1")
	n.flush()
	n.keep(ticket, "user_1", profile{}, value, 1)
	if _, ok := n.values.GetIfPresent("user_1"); ok {
		t.Error("a value asked for before a flush was kept after it")
	}
	n.keep(n.ticket("user_1"), "user_1", profile{}, value, 1)
	if _, ok := n.values.GetIfPresent("user_1"); !ok {
		t.Error("nothing is kept at all")
	}
}

func TestNearCacheDoesNotOutliveItsConnection(t *testing.T) {
	c, server := openNearby(t, Options{NearLifetime: 200 * time.Millisecond})
	server.Pause()
	eventually(t, "a hung server's near values are no longer served", func() bool { return fetch(t, c, "first") == Error })
	server.Resume()
	eventually(t, "near hits again", func() bool { return fetch(t, c, "first") == NearHit })
	server.Kill()
	eventually(t, "a dead server's neither", func() bool { return fetch(t, c, "first") == Error })
	server.Start()
	eventually(t, "near hits after a restart", func() bool { return fetch(t, c, "first") == NearHit })
}

func TestNearValuesAreServedOnlyWhileConfirmed(t *testing.T) {
	tr := &tracking{lifetime: time.Second}
	now := time.Now()
	if tr.inUse(now) {
		t.Error("in use before the server answered")
	}
	tr.confirmed.Store(now.UnixNano())
	if !tr.inUse(now.Add(time.Second)) || tr.inUse(now.Add(time.Second+time.Nanosecond)) {
		t.Error("a near value may be older than its lifetime, or not as old")
	}
}

func TestNearCacheIsOffWhereTheServerCannotTrack(t *testing.T) {
	server := testenv.Redis(t, "--rename-command", "CLIENT", "")
	c := openReal(t, RedisOptions{Addrs: []string{server.Addr}}, Options{Near: []*families.Family{families.UserProfile}})
	eventually(t, "hits", func() bool { return fetch(t, c, "first") == Hit })
	for range 10 {
		if got := fetch(t, c, "first"); got != Hit {
			t.Errorf("a lookup was a %s", got)
		}
	}
}

func TestReadRESP3(t *testing.T) {
	for text, want := range map[string]any{
		"+PONG\r\n": "PONG", "$3\r\nabc\r\n": "abc", ":7\r\n": int64(7), "_\r\n": nil,
		">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n": push{"invalidate", []any{"k"}},
		">2\r\n+invalidate\r\n_\r\n":                   push{"invalidate", nil},
		"%1\r\n+a\r\n:1\r\n":                           []any{"a", int64(1)},
	} {
		got, err := readRESP3(bufio.NewReader(strings.NewReader(text)), 0)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %#v, %v; want %#v", text, got, err, want)
		}
	}
}

func FuzzReadRESP3(f *testing.F) {
	f.Add([]byte(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"))
	f.Add([]byte("*-1\r\n"))
	f.Add([]byte("%65536\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := bufio.NewReader(strings.NewReader(string(raw)))
		for range 100 {
			if _, err := readRESP3(r, 0); err != nil {
				return
			}
		}
	})
}

func TestGatheredReads(t *testing.T) {
	server := testenv.Redis(t)
	c := openReal(t, RedisOptions{Addrs: []string{server.Addr}}, Options{BatchReads: true, Budget: time.Minute, Freshness: -1})
	eventually(t, "the first hit", func() bool { return fetch(t, c, "user_0") == Hit })
	profiles := For[profile](c, families.UserProfile)
	for i := range 20 {
		fetch(t, c, fmt.Sprintf("user_%d", i))
	}
	commands := func() (n int) {
		info, err := c.redis.Info(t.Context(), "stats").Result()
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(info, "total_commands_processed:")
		_, _ = fmt.Sscan(rest, &n)
		return n
	}
	before := commands()
	const readers, reads = 64, 50
	var all sync.WaitGroup
	for r := range readers {
		all.Go(func() {
			for i := range reads {
				id := fmt.Sprintf("user_%d", (r+i)%20)
				if p, err := profiles.Fetch(t.Context(), id, never(t)); err != nil || p.Name != id {
					t.Errorf("%s: %+v, %v", id, p, err)
				}
			}
		})
	}
	all.Wait()
	if n := commands() - before; n >= readers*reads/2 {
		t.Errorf("%d reads took %d commands", readers*reads, n)
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	if _, err := profiles.Fetch(left, "user_1", never(t)); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that had left got %v", err)
	}
}
