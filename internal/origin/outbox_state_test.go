package origin

import (
	"slices"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

func TestOutboxState(t *testing.T) {
	eachPostgres(t, func(t *testing.T, p *Postgres) {
		check := func(enabled bool, pending int, oldest time.Duration) {
			t.Helper()
			s, err := p.OutboxState(t.Context())
			if err != nil || s.Enabled != enabled || s.Pending != pending || s.Oldest < oldest || s.Oldest > oldest+time.Hour {
				t.Errorf("the state is %+v, %v; want %v, %d, %v", s, err, enabled, pending, oldest)
			}
		}
		check(true, 0, 0)
		record(t, p, 2)
		mustExec(t, p, "update ogcache.outbox set created_at = now() - interval '3 hours' where user_ids = '{new0}'")
		check(true, 2, 3*time.Hour)
		mustExec(t, p, "alter table ogcache.menu_items disable trigger outbox_update")
		check(false, 2, 3*time.Hour)
		mustExec(t, p, "alter table ogcache.menu_items enable trigger outbox_update")
		mustExec(t, p, "drop trigger outbox_truncate on ogcache.messages")
		check(false, 2, 3*time.Hour)
		mustExec(t, p, `insert into ogcache.outbox (entity) select 'menu' from generate_series(1, $1)`, maxPending+5)
		check(false, maxPending, 3*time.Hour)
	})
}

// TestSwitchOutbox sees that nothing is recorded while it is off, and that
// switching it on counts everything as changed.
func TestSwitchOutbox(t *testing.T) {
	eachPostgres(t, func(t *testing.T, p *Postgres) {
		ctx := t.Context()
		settle(t, p)
		mustExec(t, p, "update ogcache.outbox_coverage set since = now() - interval '9 hours'")
		change := func(on bool) {
			t.Helper()
			for range 2 {
				if err := p.SwitchOutbox(ctx, on); err != nil {
					t.Fatal(err)
				}
				if s, err := p.OutboxState(ctx); err != nil || s.Enabled != on {
					t.Errorf("on is %v, %v; want %v", s.Enabled, err, on)
				}
			}
		}
		complete := func() bool {
			t.Helper()
			_, complete, err := p.DeliveredChanges(ctx, time.Hour, 10)
			if err != nil {
				t.Fatal(err)
			}
			return complete
		}
		change(true)
		if got := pending(t, p); got != nil || !complete() {
			t.Errorf("switched on when it was: %v pending, or its coverage was cut", got)
		}
		change(false)
		mustExec(t, p, "update ogcache.users set name = 'Z'")
		mustExec(t, p, "truncate ogcache.messages")
		if _, err := p.RecordRevocation(ctx, digest("r")); err != nil {
			t.Fatal(err)
		}
		if got := pending(t, p); got != nil {
			t.Errorf("recorded while it was off: %v", got)
		}
		change(true)
		var want []string
		for _, f := range families.Changeable() {
			want = append(want, "+"+f.Name)
		}
		want = append(want, "menu:items")
		slices.Sort(want)
		if got := deliver(t, p); !slices.Equal(got, want) {
			t.Errorf("after the gap %v is outdated, want %v", got, want)
		}
		if complete() {
			t.Error("it claims to know of changes while it was off")
		}
		mustExec(t, p, "update ogcache.users set name = 'Y' where id = 'u1'")
		if got := pending(t, p); len(got) != 3 {
			t.Errorf("recorded since: %v", got)
		}
	})
}

func TestTrustedServers(t *testing.T) {
	eachPostgres(t, func(t *testing.T, p *Postgres) {
		check := func(want bool, identities ...string) {
			t.Helper()
			if got, err := p.TrustedServers(t.Context(), identities); got != want || err != nil {
				t.Errorf("%q: %v, %v; want %v", identities, got, err, want)
			}
		}
		check(false)
		check(false, "a")
		for range 2 {
			if err := p.TrustServers(t.Context(), []string{"a", "b", "a"}); err != nil {
				t.Fatal(err)
			}
		}
		check(true, "a")
		check(true, "a", "b", "a")
		check(false, "a", "c")
		check(false, "a", "")
		check(false)
	})
}
