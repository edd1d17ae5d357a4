package origin

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/testenv"
)

func TestOpenPostgresHidesThePassword(t *testing.T) {
	const password = "pa55word"
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	real, err := url.Parse(testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	real.User = url.UserPassword("postgres", password)
	invalid := map[string]string{
		"bad port":        "postgres://u:" + password + "@127.0.0.1:port/db",
		"bare slash":      "postgres://u:x/" + password + "@127.0.0.1/db",
		"bare hash":       "postgres://u:1#" + password + "@127.0.0.1/db",
		"bare question":   "postgres://u:1?" + password + "@127.0.0.1/db",
		"bare percent":    "postgres://u:%" + password + "@127.0.0.1/db",
		"bad sslmode":     "postgres://u:" + password + "@127.0.0.1/db?sslmode=perhaps",
		"bad pool":        "postgres://u:" + password + "@127.0.0.1/db?pool_max_conns=many",
		"broken keywords": "host=127.0.0.1 password='" + password,
		"no keywords":     password,
	}
	failing := map[string]string{
		"wrong password": real.String(),
		"nobody there":   "postgres://u:" + password + "@" + closed.Addr().String() + "/db?sslmode=disable",
		"no such file":   "host=/nonexistent user=u password=" + password,
	}
	for name, dsn := range invalid {
		failing[name] = dsn
	}
	for name, dsn := range failing {
		p, err := OpenPostgres(ctx, dsn, PostgresOptions{})
		if err == nil {
			p.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		if strings.Contains(err.Error(), password) {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
		if _, bad := invalid[name]; bad != errors.Is(err, ErrInvalid) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestPostgresConnections(t *testing.T) {
	p := migratedPostgres(t)
	if got := p.pool.Config().MaxConns; got != defaultMaxConns {
		t.Errorf("at most %d connections", got)
	}
	if got := queryStrings(t, p, "select current_setting('application_name')"); got[0] != "ogcache" {
		t.Errorf("the application's name is %q", got[0])
	}
	for dsn, want := range map[string]int32{
		testenv.Postgres(t) + "&pool_max_conns=3": 3,
		testenv.Postgres(t):                       defaultMaxConns,
	} {
		other, err := OpenPostgres(t.Context(), dsn, PostgresOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if got := other.pool.Config().MaxConns; got != want {
			t.Errorf("at most %d connections, want %d", got, want)
		}
	}
	own, _ := openPostgres(t, PostgresOptions{MaxConns: 2})
	if got := own.pool.Config().MaxConns; got != 2 {
		t.Errorf("at most %d connections, want 2", got)
	}
}

// TestPostgresTimesOut holds a lock that a write waits for.
func TestPostgresTimesOut(t *testing.T) {
	p, _ := openPostgres(t, PostgresOptions{QueryTimeout: 200 * time.Millisecond})
	ctx := t.Context()
	if _, err := p.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Seed(ctx, Population{Users: 1}, nil); err != nil {
		t.Fatal(err)
	}
	tx, err := p.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if _, err := tx.Exec(ctx, "select from ogcache.users where id = 'user_1' for update"); err != nil {
		t.Fatal(err)
	}
	name := "x"
	if _, _, err := p.UpdateProfile(ctx, "user_1", ProfilePatch{Name: &name}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	if _, err := p.Profile(ctx, "user_1"); err != nil {
		t.Errorf("a read afterwards: %v", err)
	}
}

// TestPostgresClockStepsBack sees that a conversation's time never does.
func TestPostgresClockStepsBack(t *testing.T) {
	p := migratedPostgres(t)
	id := mustSeed(t, p, Population{Users: 1, Seed: 1})[0]
	ahead := time.Now().Add(time.Hour)
	mustExec(t, p, "update ogcache.conversations set updated_at = $1", ahead)
	m, _, err := p.AddMessage(t.Context(), id.Conversations[0], id.UserID, "user", "now")
	if err != nil || !m.CreatedAt.After(ahead) {
		t.Errorf("a message of %v after %v, error %v", m.CreatedAt, ahead, err)
	}
}

// TestPostgresWithoutItsSchema sees that a caller learns what is missing.
func TestPostgresWithoutItsSchema(t *testing.T) {
	p, _ := openPostgres(t, PostgresOptions{})
	if _, err := p.Menu(t.Context()); err == nil || !strings.Contains(err.Error(), "ogcache.menu_items") {
		t.Errorf("error is %v", err)
	}
}

// TestPostgresTakesOneRoundTrip counts what goes to the server, and sees that
// nothing is prepared on the way, which a transaction pooler would forget.
func TestPostgresTakesOneRoundTrip(t *testing.T) {
	upstream, err := url.Parse(testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	trips := new(roundTrips)
	upstream.Host = trips.listen(t, upstream.Host)
	ctx := t.Context()
	p, err := OpenPostgres(ctx, upstream.String(), PostgresOptions{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if _, err := p.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	ids, err := p.Seed(ctx, Population{Users: 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	id, bio, telegram := ids[0], "b", "42"
	conversation := id.Conversations[0]
	calls := map[string]func() error{
		"session":        func() error { _, err := p.Session(ctx, id.Token); return err },
		"revoke":         func() error { return p.Revoke(ctx, ids[1].Token) },
		"profile":        func() error { _, err := p.Profile(ctx, id.UserID); return err },
		"profiles":       func() error { _, err := p.Profiles(ctx, []string{id.UserID, ids[1].UserID}); return err },
		"telegram":       func() error { _, err := p.ProfileByTelegram(ctx, ids[2].TelegramID); return err },
		"create profile": func() error { _, err := p.CreateProfile(ctx, "new"); return err },
		"update profile": func() error {
			_, _, err := p.UpdateProfile(ctx, id.UserID, ProfilePatch{Bio: &bio, TelegramID: &telegram})
			return err
		},
		"conversation":      func() error { _, err := p.Conversation(ctx, conversation); return err },
		"conversations":     func() error { _, err := p.Conversations(ctx, id.UserID); return err },
		"conversationlists": func() error { _, err := p.ConversationLists(ctx, []string{id.UserID, "nobody"}); return err },
		"add message":       func() error { _, _, err := p.AddMessage(ctx, conversation, id.UserID, "user", "hi"); return err },
		"menu":              func() error { _, err := p.Menu(ctx); return err },
		"recent users":      func() error { _, err := p.RecentUsers(ctx, 2); return err },
		"ping":              func() error { return p.Ping(ctx) },
	}
	for name, call := range calls {
		// So that the pool has no need to ask whether an idle connection lives.
		if err := p.Ping(ctx); err != nil {
			t.Fatal(err)
		}
		before := trips.count.Load()
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := trips.count.Load() - before; n != 1 {
			t.Errorf("%s took %d round trips", name, n)
		}
	}
	if prepared := queryStrings(t, p, "select statement from pg_prepared_statements"); len(prepared) > 0 {
		t.Errorf("prepared: %q", prepared)
	}
}

// roundTrips counts how often a client spoke after the server did.
type roundTrips struct {
	count    atomic.Int64
	answered atomic.Bool
}

// listen returns the address of a proxy to upstream.
func (r *roundTrips) listen(tb testing.TB, upstream string) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var wg sync.WaitGroup
	tb.Cleanup(wg.Wait)
	tb.Cleanup(func() { l.Close() })
	r.answered.Store(true)
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", upstream)
			if err != nil {
				client.Close()
				tb.Error(err)
				return
			}
			forward := func(to, from net.Conn, seen func()) {
				defer to.Close()
				buffer := make([]byte, 64<<10)
				for {
					n, err := from.Read(buffer)
					if n > 0 {
						seen()
						if _, err := to.Write(buffer[:n]); err != nil {
							return
						}
					}
					if err != nil {
						return
					}
				}
			}
			wg.Go(func() {
				forward(server, client, func() {
					if r.answered.Swap(false) {
						r.count.Add(1)
					}
				})
			})
			wg.Go(func() { forward(client, server, func() { r.answered.Store(true) }) })
		}
	})
	return l.Addr().String()
}
