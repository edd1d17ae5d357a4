package origin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// record makes n users, whose entries in the outbox are one each.
func record(t testing.TB, p *Postgres, n int) []families.Change {
	t.Helper()
	changes := make([]families.Change, n)
	for i := range n {
		var err error
		if changes[i], err = p.CreateProfile(t.Context(), fmt.Sprint("new", i)); err != nil {
			t.Fatal(err)
		}
	}
	return changes
}

// deliver delivers what is pending once and returns what that outdates.
func deliver(t testing.TB, p *Postgres) []string {
	t.Helper()
	var got []families.Change
	n, err := p.Deliver(t.Context(), 0, 1000, func(_ context.Context, c []families.Change) error {
		got = append(got, c...)
		return nil
	})
	if err != nil || n != len(got) {
		t.Fatalf("delivered %d of %d, %v", n, len(got), err)
	}
	return outdated(got)
}

func keysOf(changes ...families.Change) []string { return outdated(changes) }

func TestDeliverAtLeastOnce(t *testing.T) {
	eachPostgres(t, func(t *testing.T, p *Postgres) {
		ctx := t.Context()
		want := keysOf(record(t, p, 3)...)
		broken := errors.New("Redis is away")
		n, err := p.Deliver(ctx, 0, 10, func(context.Context, []families.Change) error { return broken })
		if n != 0 || !errors.Is(err, broken) {
			t.Errorf("a drop that failed: %d, %v", n, err)
		}
		if got := pending(t, p); !slices.Equal(got, want) {
			t.Errorf("pending are %v, want %v", got, want)
		}
		// The process dies after the drop, before the commit.
		n, err = p.Deliver(ctx, 0, 10, func(ctx context.Context, _ []families.Change) error {
			mustExec(t, p, `select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and state = 'idle in transaction'`)
			return nil
		})
		if n != 0 || err == nil {
			t.Errorf("a connection that ended before the commit: %d, %v", n, err)
		}
		if got := deliver(t, p); !slices.Equal(got, want) {
			t.Errorf("then delivered %v, want %v", got, want)
		}
		if got := deliver(t, p); got != nil {
			t.Errorf("delivered twice: %v", got)
		}
	})
}

func TestDeliverOldestFirstAfterGrace(t *testing.T) {
	p := migratedPostgres(t)
	ctx := t.Context()
	changes := record(t, p, 3)
	mustExec(t, p, "update ogcache.outbox set created_at = now() - interval '1 hour' where user_ids <> '{new0}'")
	var got []families.Change
	n, err := p.Deliver(ctx, time.Minute, 1, func(_ context.Context, c []families.Change) error {
		got = c
		return nil
	})
	if err != nil || n != 1 || !slices.Equal(keysOf(got...), keysOf(changes[1])) {
		t.Errorf("delivered %v, %v; want the oldest that is due", got, err)
	}
	if n, err = p.Deliver(ctx, time.Minute, 10, func(context.Context, []families.Change) error { return nil }); n != 1 || err != nil {
		t.Errorf("then %d, %v; want the one that is left and due", n, err)
	}
	if got := pending(t, p); !slices.Equal(got, keysOf(changes[0])) {
		t.Errorf("pending is %v", got)
	}
}

// TestDeliverersShare lets several deliver at once: each change once.
func TestDeliverersShare(t *testing.T) {
	eachPostgres(t, func(t *testing.T, p *Postgres) {
		const changes = 300
		record(t, p, changes)
		var mu sync.Mutex
		seen := map[string]int{}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				for {
					n, err := p.Deliver(t.Context(), 0, 7, func(_ context.Context, c []families.Change) error {
						mu.Lock()
						defer mu.Unlock()
						for _, change := range c {
							seen[change.UserIDs[0]]++
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
					if n == 0 {
						return // what is left is another's
					}
				}
			})
		}
		all.Wait()
		if len(seen) != changes {
			t.Errorf("%d changes were delivered, want %d", len(seen), changes)
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%s was delivered %d times", id, n)
			}
		}
		if got := pending(t, p); got != nil {
			t.Errorf("left over: %v", got)
		}
	})
}

// TestMarkDelivered marks what a request dropped and no more than that.
func TestMarkDelivered(t *testing.T) {
	eachPostgres(t, func(t *testing.T, p *Postgres) {
		ctx := t.Context()
		id := mustSeed(t, p, Population{Users: 2, Seed: 1})[0]
		mustExec(t, p, "delete from ogcache.outbox")
		mark := func(want int, changes ...families.Change) {
			t.Helper()
			if n, err := p.MarkDelivered(ctx, changes); n != want || err != nil {
				t.Errorf("marked %d, %v; want %d", n, err, want)
			}
		}
		telegramID := "999"
		_, profile, err1 := p.UpdateProfile(ctx, id.UserID, ProfilePatch{TelegramID: &telegramID})
		_, message, err2 := p.AddMessage(ctx, id.Conversations[0], id.UserID, "user", "hi")
		logout, err3 := p.RecordRevocation(ctx, digest("r"))
		again, err4 := p.RecordRevocation(ctx, digest("r"))
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		if want := slices.Sorted(slices.Values(append(keysOf(profile, message, logout), "")))[1:]; !slices.Equal(pending(t, p), want) {
			t.Errorf("pending are %v, want %v", pending(t, p), want)
		}
		mark(0)
		mark(0, families.Change{Entity: families.User, UserIDs: profile.UserIDs, TelegramIDs: profile.TelegramIDs}) // of no transaction
		strange := profile
		strange.Transaction = message.Transaction
		mark(0, strange)
		other, err := p.CreateProfile(ctx, "other")
		if err != nil {
			t.Fatal(err)
		}
		strange = other
		strange.Entity = families.Conversation
		mark(0, strange)
		mark(1, other)
		part := profile
		part.TelegramIDs = part.TelegramIDs[:1]
		mark(0, part)
		mark(5, profile, message, logout, again) // a message changes its conversation too
		mark(0, profile, message, logout, again)
		if got := pending(t, p); got != nil {
			t.Errorf("pending are %v", got)
		}
	})
}

// TestMarkDeliveredLeavesWhatIsClaimed sees that a report neither waits for
// who delivers nor takes from them.
func TestMarkDeliveredLeavesWhatIsClaimed(t *testing.T) {
	p := migratedPostgres(t)
	changes := record(t, p, 2)
	n, err := p.Deliver(t.Context(), 0, 1, func(ctx context.Context, claimed []families.Change) error {
		if marked, err := p.MarkDelivered(ctx, changes); marked != 1 || err != nil {
			t.Errorf("marked %d, %v; want the one that is not claimed", marked, err)
		}
		// A catch-up does see it: that drop may hang, or go to a server that is gone.
		if got := pending(t, p); !slices.Equal(got, keysOf(claimed...)) {
			t.Errorf("pending are %v, want %v", got, keysOf(claimed...))
		}
		return nil
	})
	if n != 1 || err != nil {
		t.Errorf("delivered %d, %v", n, err)
	}
}

func TestPendingChangesAreBounded(t *testing.T) {
	p := migratedPostgres(t)
	record(t, p, 3)
	for limit, wantMore := range map[int]bool{3: false, 2: true} {
		changes, more, err := p.PendingChanges(t.Context(), limit)
		if err != nil || more != wantMore || len(changes) != limit {
			t.Errorf("at most %d: %d, more %v, %v", limit, len(changes), more, err)
		}
	}
}

func TestDeliveredChanges(t *testing.T) {
	eachPostgres(t, func(t *testing.T, p *Postgres) {
		changes := record(t, p, 4)
		deliver(t, p)
		mustExec(t, p, "update ogcache.outbox set done_at = now() - interval '2 hours' where user_ids = '{new0}'")
		check := func(what string, since time.Duration, limit int, wantComplete bool, want ...families.Change) {
			t.Helper()
			got, complete, err := p.DeliveredChanges(t.Context(), since, limit)
			if err != nil || complete != wantComplete || complete && !slices.Equal(keysOf(got...), keysOf(want...)) {
				t.Errorf("%s: %v, complete %v, %v; want %v", what, keysOf(got...), complete, err, keysOf(want...))
			}
		}
		check("recorded for less than that", time.Hour, 10, false)
		mustExec(t, p, "update ogcache.outbox_coverage set since = now() - interval '61 minutes'")
		check("of an hour", time.Hour, 10, true, changes[1:]...)
		check("just not too many", time.Hour, 3, true, changes[1:]...)
		check("too many", time.Hour, 2, false)
		check("recorded for less than that", 3*time.Hour, 10, false)
		if err := p.SwitchOutbox(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		check("switched off", time.Hour, 10, false)
	})
}

func TestPruneOutbox(t *testing.T) {
	eachPostgres(t, func(t *testing.T, p *Postgres) {
		ctx := t.Context()
		record(t, p, 5)
		if _, err := p.RecordRevocation(ctx, digest("r")); err != nil {
			t.Fatal(err)
		}
		mustExec(t, p, `update ogcache.outbox set created_at = now() - interval '9 hours',
done_at = case when user_ids <> '{new4}' then now() - interval '1 hour' end`)
		mustExec(t, p, `update ogcache.outbox set done_at = now() where user_ids = '{new3}'`)
		mustExec(t, p, `update ogcache.revocations set revoked_at = now() - interval '1 hour'`)
		for _, want := range []int{2, 2, 0} {
			if n, err := p.PruneOutbox(ctx, 30*time.Minute, 2); n != want || err != nil {
				t.Errorf("pruned %d, %v; want %d", n, err, want)
			}
		}
		left := queryStrings(t, p, "select user_ids::text from ogcache.outbox where user_ids <> '{}' order by id")
		if !slices.Equal(left, []string{"{new3}", "{new4}"}) {
			t.Errorf("left are %v, want what was done lately and what is pending", left)
		}
		if n := queryStrings(t, p, "select count(*)::text from ogcache.revocations"); n[0] != "0" {
			t.Errorf("%s revocations are left", n[0])
		}
	})
}

// TestRevocationIsDueLater sees that who delivers does not drop a session
// before the auth service can have ended it.
func TestRevocationIsDueLater(t *testing.T) {
	p := migratedPostgres(t)
	change, err := p.RecordRevocation(t.Context(), digest("r"))
	if err != nil {
		t.Fatal(err)
	}
	if got := deliver(t, p); got != nil {
		t.Errorf("delivered at once: %v", got)
	}
	if got := pending(t, p); !slices.Equal(got, keysOf(change)) {
		t.Errorf("pending is %v, want %v", got, keysOf(change))
	}
	if s, err := p.OutboxState(t.Context()); err != nil || s.Pending != 1 || s.Oldest != 0 {
		t.Errorf("the state is %+v, %v", s, err)
	}
	mustExec(t, p, "update ogcache.outbox set created_at = created_at - interval '10 seconds'")
	if got := deliver(t, p); !slices.Equal(got, keysOf(change)) {
		t.Errorf("then delivered %v, want %v", got, keysOf(change))
	}
}
