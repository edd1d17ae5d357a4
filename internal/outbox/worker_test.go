package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/origin"
	"github.com/oglab/ogcache/internal/outbox"
)

// running is a worker that runs until its test ends.
type running struct {
	*outbox.Worker
	cache    *cache
	registry *prometheus.Registry
	log      *log
}

func run(t *testing.T, source outbox.Source) running {
	t.Helper()
	r := running{cache: &cache{}, registry: prometheus.NewRegistry(), log: &log{}}
	var err error
	r.Worker, err = outbox.New(outbox.Options{
		Source: source, Drop: r.cache.Drop, Clear: r.cache.Clear, Registerer: r.registry,
		Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { r.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
	return r
}

// log keeps lines. It is safe for concurrent use.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// metric returns the value of the series of that name, by its label if it has
// one.
func (r running) metric(t testing.TB, name, by string) float64 {
	t.Helper()
	all, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && (by == "" || slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == by })) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no %s %s", name, by)
	return 0
}

func (r running) delivered(t testing.TB, by string) float64 {
	t.Helper()
	return r.metric(t, "ogcache_outbox_delivered_total", by)
}

// TestSQLByHandIsDelivered writes past the program.
func TestSQLByHandIsDelivered(t *testing.T) {
	eachDatabase(t, func(t *testing.T, db database) {
		r := run(t, db)
		db.exec(t, "insert into ogcache.users (id, name, language) values ('u1', 'x', 'en')")
		want := []string{"agent:context:u1", "user:profile:u1"}
		var got []string
		eventually(t, "a user's keys are dropped", func() bool {
			got = append(got, r.cache.take()...)
			return len(got) >= len(want)
		})
		if !slices.Equal(got, want) {
			t.Errorf("dropped %v, want %v", got, want)
		}
		eventually(t, "the delivery is counted", func() bool { return r.delivered(t, "worker") == 1 })
		db.exec(t, "truncate ogcache.messages")
		eventually(t, "families are cleared", func() bool {
			return slices.Equal(r.cache.takeCleared(), families.Change{Entity: families.Conversation}.Families())
		})
	})
}

// TestReportsAreMarked has a worker that can drop nothing, so that only the
// reports of requests empty the outbox.
func TestReportsAreMarked(t *testing.T) {
	eachDatabase(t, func(t *testing.T, db database) {
		r := run(t, db)
		r.cache.fail(errors.New("Redis is away"))
		const writes = 40
		for i := range writes {
			change, err := db.CreateProfile(t.Context(), fmt.Sprint("u", i))
			if err != nil {
				t.Fatal(err)
			}
			r.Delivered(change)
		}
		r.Delivered(families.Change{Entity: families.Menu}) // not recorded
		eventually(t, "the outbox is empty", func() bool {
			changes, _, err := db.PendingChanges(t.Context(), 10)
			return err == nil && len(changes) == 0
		})
		eventually(t, "they are counted", func() bool { return r.delivered(t, "request") == writes })
		if n := r.delivered(t, "worker"); n != 0 {
			t.Errorf("the worker delivered %v though it cannot drop", n)
		}
	})
}

// TestWorkerRepeatsWhatFails sees the depth and the lag meanwhile, and one line
// in the log for each change of state.
func TestWorkerRepeatsWhatFails(t *testing.T) {
	eachDatabase(t, func(t *testing.T, db database) {
		r := run(t, db)
		r.cache.fail(errors.New("Redis is away"))
		want := slices.Concat(db.create(t, "u1"), db.create(t, "u2"))
		db.exec(t, "update ogcache.outbox set created_at = now() - interval '1 hour'")
		eventually(t, "it tries again", func() bool { return r.cache.tried() >= 4 })
		eventually(t, "depth and lag are told", func() bool {
			return r.metric(t, "ogcache_outbox_pending", "") == 2 && r.metric(t, "ogcache_outbox_oldest_seconds", "") >= 3600 &&
				r.metric(t, "ogcache_outbox_enabled", "") == 1
		})
		r.cache.fail(nil)
		eventually(t, "depth and lag are gone", func() bool {
			return r.metric(t, "ogcache_outbox_pending", "") == 0 && r.metric(t, "ogcache_outbox_oldest_seconds", "") == 0
		})
		slices.Sort(want)
		if got := r.cache.take(); !slices.Equal(got, want) {
			t.Errorf("dropped %v, want %v", got, want)
		}
		eventually(t, "it says that it works again", func() bool { return r.log.count("works again") == 1 })
		if n := r.log.count("fails"); n != 1 {
			t.Errorf("%d lines say that it fails, want one", n)
		}
		if err := db.SwitchOutbox(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is told to be off", func() bool { return r.metric(t, "ogcache_outbox_enabled", "") == 0 })
	})
}

// TestWorkersShare has two workers on one outbox.
func TestWorkersShare(t *testing.T) {
	eachDatabase(t, func(t *testing.T, db database) {
		a, b := run(t, db), run(t, db)
		const users = 1500
		db.exec(t, "insert into ogcache.users (id, name, language) select 'u' || n, 'x', 'en' from generate_series(1, $1) n", users)
		for _, id := range []string{"v1", "v2", "v3", "v4"} {
			db.create(t, id)
		}
		dropped := map[string]int{}
		eventually(t, "all is dropped", func() bool {
			for _, k := range append(a.cache.take(), b.cache.take()...) {
				dropped[k]++
			}
			return len(dropped) == 2*(users+4)
		})
		for k, n := range dropped {
			if n != 1 {
				t.Errorf("%s was dropped %d times", k, n)
			}
		}
		if a.cache.largest > 500 || b.cache.largest > 500 {
			t.Errorf("batches of %d and %d keys", a.cache.largest, b.cache.largest)
		}
	})
}

func TestWithoutADatabaseTheStateIsUnknown(t *testing.T) {
	eachDatabase(t, func(t *testing.T, db database) {
		r := run(t, db)
		eventually(t, "the state is told", func() bool { return r.metric(t, "ogcache_outbox_enabled", "") == 1 })
		db.Close()
		eventually(t, "the state is unknown", func() bool { return math.IsNaN(r.metric(t, "ogcache_outbox_pending", "")) })
	})
}

func TestDeliveredNeverWaits(t *testing.T) {
	w, err := outbox.New(outbox.Options{Source: (*origin.Postgres)(nil), Drop: (&cache{}).Drop})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50_000 { // nobody takes them
		w.Delivered(families.Change{Entity: families.Menu, Transaction: uint64(i + 1)})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]outbox.Options{
		"no source": {Drop: (&cache{}).Drop}, "no drop": {Source: (*origin.Postgres)(nil)},
	} {
		if _, err := outbox.New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
