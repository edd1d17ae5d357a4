package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/outbox"
)

// process is a worker that does not run, in a process of its own.
type process struct {
	*outbox.Worker
	t      *testing.T
	worker cache // what the worker's own Drop and Clear were told
	client cache // what a catch-up was told to drop
}

func start(t *testing.T, db database) *process {
	t.Helper()
	p := &process{t: t}
	var err error
	if p.Worker, err = outbox.New(outbox.Options{Source: db, Drop: p.worker.Drop, Clear: p.worker.Clear}); err != nil {
		t.Fatal(err)
	}
	return p
}

// catchesUp checks what a catch-up drops.
func (p *process) catchesUp(what string, servers, want []string) {
	p.t.Helper()
	if err := p.CatchUp(p.t.Context(), servers, p.client.Drop); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
	slices.Sort(want)
	if got := p.client.take(); !slices.Equal(got, want) {
		p.t.Errorf("%s drops %v, want %v", what, got, want)
	}
	if got := p.worker.takeCleared(); got != nil {
		p.t.Errorf("%s clears %v", what, got)
	}
}

// clears checks that a catch-up clears what changes can outdate.
func (p *process) clears(what string, servers []string) {
	p.t.Helper()
	if err := p.CatchUp(p.t.Context(), servers, p.client.Drop); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
	if got := p.worker.takeCleared(); !slices.Equal(got, families.Changeable()) {
		p.t.Errorf("%s clears %v, want all but analytics", what, got)
	}
}

// covered says that the outbox has recorded for long enough.
func (d database) covered(t testing.TB) {
	t.Helper()
	d.exec(t, "update ogcache.outbox_coverage set since = now() - interval '2 hours'")
}

// deliverAll marks delivered what is pending.
func (d database) deliverAll(t testing.TB) {
	t.Helper()
	d.exec(t, "update ogcache.outbox set done_at = clock_timestamp() where done_at is null")
}

func TestCatchUp(t *testing.T) {
	eachDatabase(t, func(t *testing.T, db database) {
		db.covered(t)
		old, done := db.create(t, "old"), db.create(t, "done")
		db.deliverAll(t)
		db.exec(t, "update ogcache.outbox set done_at = now() - interval '61 minutes' where user_ids = '{old}'")
		// What a catch-up delivers is delivered to the one after.
		n := 0
		pending := func() []string {
			n++
			keys := db.create(t, fmt.Sprint("pending", n))
			done = append(done, keys...)
			return keys
		}
		all := func() []string {
			pending()
			return slices.Clone(done)
		}
		a := start(t, db)
		a.catchesUp("a first start", []string{"s1"}, all())
		a.catchesUp("after an outage", []string{"s1"}, pending())
		a.catchesUp("when nothing is pending", []string{"s1"}, nil)
		start(t, db).catchesUp("another process", []string{"s1"}, pending())
		start(t, db).catchesUp("one of two servers is new", []string{"s1", "s2"}, all())
		a.catchesUp("the process moved to where others have been", []string{"s2"}, all())
		a.catchesUp("and stays there", []string{"s2"}, pending())
		a.catchesUp("more servers", []string{"s1", "s2"}, all())
		a.catchesUp("the same in another order", []string{"s2", "s1"}, pending())
		for range 2 {
			b := start(t, db)
			b.catchesUp("one cannot be told", []string{"s1", ""}, all())
			b.catchesUp("one cannot be told still", []string{"s1", ""}, all())
			b.catchesUp("none is known", nil, all())
		}
		db.exec(t, "update ogcache.outbox set done_at = now() - interval '59 minutes' where user_ids = '{old}'")
		a.catchesUp("an unknown server", []string{"s3"}, append(all(), old...))
	})
}

// TestCatchUpLeavesLogoutsPending sees that a session is dropped again once the
// auth service has ended it for certain.
func TestCatchUpLeavesLogoutsPending(t *testing.T) {
	eachDatabase(t, func(t *testing.T, db database) {
		db.covered(t)
		change, err := db.RecordRevocation(t.Context(), families.TokenDigest("x"))
		if err != nil {
			t.Fatal(err)
		}
		p := start(t, db)
		p.catchesUp("with a logout under way", []string{"s1"}, names(change.Keys()))
		p.catchesUp("and again", []string{"s1"}, names(change.Keys()))
	})
}

// TestCatchUpDoesNotWaitForAClaim holds a claim on all that is pending.
func TestCatchUpDoesNotWaitForAClaim(t *testing.T) {
	eachDatabase(t, func(t *testing.T, db database) {
		db.covered(t)
		pending := db.create(t, "pending")
		n, err := db.Deliver(t.Context(), 0, 10, func(context.Context, []families.Change) error {
			start(t, db).catchesUp("under a claim", []string{"s1"}, pending)
			return nil
		})
		if n != 1 || err != nil {
			t.Errorf("delivered %d, %v", n, err)
		}
	})
}

// TestCatchUpTrustsOnlyWhatItFinished fails in the middle.
func TestCatchUpTrustsOnlyWhatItFinished(t *testing.T) {
	eachDatabase(t, func(t *testing.T, db database) {
		db.covered(t)
		done := db.create(t, "done")
		db.deliverAll(t)
		p := start(t, db)
		broken := errors.New("Redis is away")
		p.client.fail(broken)
		if err := p.CatchUp(t.Context(), []string{"s1"}, p.client.Drop); !errors.Is(err, broken) {
			t.Errorf("error is %v", err)
		}
		p.client.fail(nil)
		p.catchesUp("another try", []string{"s1"}, done)
		p.catchesUp("and once more", []string{"s1"}, nil)
	})
}

func TestCatchUpClearsWhatItCannotTell(t *testing.T) {
	eachDatabase(t, func(t *testing.T, db database) {
		p := start(t, db)
		p.clears("an outbox that is too young", []string{"s1"})
		p.catchesUp("a server that is trusted", []string{"s1"}, nil)
		db.covered(t)

		db.exec(t, `insert into ogcache.outbox (entity, user_ids)
select 'user', array_agg('u' || n) from generate_series(1, 100000) n group by n / 500`)
		first := start(t, db)
		if err := first.CatchUp(t.Context(), []string{"s1"}, first.client.Drop); err != nil {
			t.Fatal(err)
		}
		if got := first.client.take(); len(got) != 200_000 || first.client.largest > 500 || first.worker.takeCleared() != nil {
			t.Errorf("at the limit %d keys are dropped in batches of at most %d", len(got), first.client.largest)
		}
		db.exec(t, `update ogcache.outbox set done_at = null`)
		db.exec(t, `insert into ogcache.outbox (entity, user_ids) values ('user', '{u0}')`)
		start(t, db).clears("too many pending changes", []string{"s1"})
		db.deliverAll(t)
		start(t, db).clears("too many delivered changes", []string{"s2"})

		db.exec(t, "delete from ogcache.outbox")
		p.catchesUp("a server that is new", []string{"s3"}, nil)
		if err := db.SwitchOutbox(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		p.clears("an outbox that is off", []string{"s4"})
	})
}

// TestCatchUpClearsForChangesOfEverything replays a truncation.
func TestCatchUpClearsForChangesOfEverything(t *testing.T) {
	eachDatabase(t, func(t *testing.T, db database) {
		db.covered(t)
		db.exec(t, "truncate ogcache.menu_items")
		for range 2 { // pending, then delivered
			p := start(t, db)
			if err := p.CatchUp(t.Context(), []string{""}, p.client.Drop); err != nil {
				t.Fatal(err)
			}
			if got := p.worker.takeCleared(); fmt.Sprint(got) != "[menu_items]" {
				t.Errorf("cleared %v", got)
			}
			db.deliverAll(t)
		}
	})
}

// TestWithoutAClearNothingIsTrusted has no way to clear.
func TestWithoutAClearNothingIsTrusted(t *testing.T) {
	eachDatabase(t, func(t *testing.T, db database) {
		var c cache
		w, err := outbox.New(outbox.Options{Source: db, Drop: c.Drop})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.CatchUp(t.Context(), []string{"s1"}, c.Drop); err == nil {
			t.Error("no error, though the outbox is too young")
		}
		if trusted, err := db.TrustedServers(t.Context(), []string{"s1"}); trusted || err != nil {
			t.Errorf("trusted is %v, %v", trusted, err)
		}
	})
}
