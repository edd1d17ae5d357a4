package instrumented

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/testenv"
)

// memoryLedger is a ledger that remembers the drops it was told of.
type memoryLedger struct {
	mu      sync.Mutex
	trusted map[string]bool
	dropped []families.Key
	replays int
	broken  error
}

func (l *memoryLedger) CatchUp(ctx context.Context, servers []string, drop func(context.Context, []families.Key) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	for _, s := range servers {
		if s != "" && l.trusted[s] {
			continue
		}
		l.replays++
		if err := drop(ctx, l.dropped); err != nil {
			return err
		}
		break
	}
	for _, s := range servers {
		l.trusted[s] = true
	}
	return nil
}

func (l *memoryLedger) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func TestServerThatComesBackWithOldDataIsNotTrusted(t *testing.T) {
	server := testenv.Redis(t)
	ledger := &memoryLedger{trusted: make(map[string]bool)}
	c := openReal(t, RedisOptions{Addrs: []string{server.Addr}}, Options{Ledger: ledger, Freshness: -1})
	profiles := For[profile](c, families.UserProfile)
	eventually(t, "the first hit", func() bool { return fetch(t, c, "user_1") == Hit })
	if ledger.replays != 1 {
		t.Errorf("%d replays before the first hit, want 1: the server was unknown", ledger.replays)
	}
	raw := server.Client(t)
	if err := raw.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	changed := key(t, families.UserProfile, "user_1")
	if err := c.Delete(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	ledger.set(func() { ledger.dropped = append(ledger.dropped, changed) })
	server.Kill()
	// The database is away too: nothing can be caught up with.
	ledger.set(func() { ledger.broken = errors.New("the database is down") })
	server.Start()
	if n, err := server.Client(t).Exists(t.Context(), changed.String()).Result(); err != nil || n != 1 {
		t.Fatalf("the restart did not bring the dropped key back: %d, %v", n, err)
	}
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
		if p, err := profiles.Fetch(t.Context(), "user_1", returns(profile{Name: "new"})); err != nil || p.Name != "new" {
			t.Fatalf("before catching up a reader got %+v, %v", p, err)
		}
	}
	if c.trust.trusted() {
		t.Error("hits are trusted though nothing was caught up with")
	}
	ledger.set(func() { ledger.broken = nil })
	eventually(t, "hits again", func() bool {
		p, err := profiles.Fetch(t.Context(), "user_1", returns(profile{Name: "new"}))
		if err != nil || p.Name != "new" {
			t.Fatalf("after the restart a reader got %+v, %v", p, err)
		}
		_, found, err := profiles.Get(t.Context(), "user_1")
		return err == nil && found
	})
}

func TestKnownServerIsTrustedAtOnce(t *testing.T) {
	server := testenv.Redis(t)
	ledger := &memoryLedger{trusted: make(map[string]bool)}
	first := openReal(t, RedisOptions{Addrs: []string{server.Addr}}, Options{Ledger: ledger})
	eventually(t, "trust", first.trust.trusted)
	second := openReal(t, RedisOptions{Addrs: []string{server.Addr}}, Options{Ledger: ledger})
	eventually(t, "trust", second.trust.trusted)
	if ledger.replays != 1 {
		t.Errorf("%d replays, want one by the first process alone", ledger.replays)
	}
}

func TestAnOutageThatEndsDuringACatchUpIsNotForgotten(t *testing.T) {
	tr := newTrust(&memoryLedger{trusted: make(map[string]bool)})
	tr.met("a:1")
	masters := func() []string { return []string{"a:1"} }
	tr.ledger.(*memoryLedger).dropped = []families.Key{key(t, families.MenuItems, "items")}
	err := tr.catchUp(t.Context(), masters, func(context.Context, []families.Key) error {
		tr.doubt()
		return nil
	})
	if err != nil || tr.trusted() {
		t.Errorf("trusted %v, %v; want another catch-up first", tr.trusted(), err)
	}
	if err := tr.catchUp(t.Context(), masters, func(context.Context, []families.Key) error { return nil }); err != nil || !tr.trusted() {
		t.Errorf("trusted %v, %v after the second", tr.trusted(), err)
	}
}

func TestReaderDoesNotTrustAReplyOfAnotherEpoch(t *testing.T) {
	tr := newTrust(nil)
	epoch, ok := tr.begin()
	if !ok || !tr.still(epoch) {
		t.Error("without a ledger hits are not trusted")
	}
	tr.suspend()
	if tr.still(epoch) {
		t.Error("a reply from before a suspension is trusted after it")
	}
	if _, ok := tr.begin(); ok {
		t.Error("a lookup began while hits are not trusted")
	}
}

// Damaged bytes close the connection that brought them, and no other.
func TestDamageClosesTheConnectionThatBroughtIt(t *testing.T) {
	server := testenv.Redis(t)
	c := openReal(t, RedisOptions{Addrs: []string{server.Addr}}, Options{Budget: time.Second})
	eventually(t, "the first hit", func() bool { return fetch(t, c, "user_1") == Hit })
	open := func() map[*trackedConn]bool {
		c.far.connections.mu.Lock()
		defer c.far.connections.mu.Unlock()
		all := make(map[*trackedConn]bool)
		for conn := range c.far.connections.open {
			all[conn] = true
		}
		return all
	}
	eventually(t, "several connections", func() bool { return len(open()) >= 2 })
	before := open()
	if err := server.Client(t).Set(t.Context(), "user:profile:user_1", foreignText, 0).Err(); err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, c, "user_1"); got != Miss {
		t.Errorf("a damaged value was a %s", got)
	}
	closed := 0
	after := open()
	for conn := range before {
		if !after[conn] {
			closed++
		}
	}
	if closed != 1 {
		t.Errorf("%d connections were closed, want 1", closed)
	}
}

const foreignText = "this was not stored by ogcache, and it is longer than a lease is"
