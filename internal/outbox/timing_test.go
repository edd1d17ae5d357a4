package outbox_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/origin"
	"github.com/oglab/ogcache/internal/outbox"
)

// clocked is a source that remembers when it was asked.
type clocked struct {
	outbox.Source // what is not asked for here
	start         time.Time
	broken        error // of Deliver
	deliveries    []time.Duration
	grace         time.Duration
	marks         []time.Duration
	marked        int
	kept          time.Duration
}

func (c *clocked) Deliver(_ context.Context, grace time.Duration, _ int, _ func(context.Context, []families.Change) error) (int, error) {
	c.grace = grace
	c.deliveries = append(c.deliveries, time.Since(c.start))
	return 0, c.broken
}

func (c *clocked) MarkDelivered(_ context.Context, changes []families.Change) (int, error) {
	c.marks = append(c.marks, time.Since(c.start))
	c.marked += len(changes)
	return len(changes), nil
}

func (c *clocked) PruneOutbox(_ context.Context, keep time.Duration, _ int) (int, error) {
	c.kept = keep
	return 0, nil
}

func (c *clocked) OutboxState(context.Context) (origin.OutboxState, error) {
	return origin.OutboxState{Enabled: true}, nil
}

// runFor runs a worker on a clock of its own.
func runFor(t *testing.T, c *clocked, d time.Duration, meanwhile func(*outbox.Worker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c.start = time.Now()
		w, err := outbox.New(outbox.Options{Source: c, Drop: (&cache{}).Drop})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		go meanwhile(w)
		w.Run(ctx)
	})
}

// TestReportsAreMarkedWithinGrace sees that the worker would not repeat what a
// request has dropped, and that reports share statements.
func TestReportsAreMarkedWithinGrace(t *testing.T) {
	var c clocked
	runFor(t, &c, time.Second, func(w *outbox.Worker) {
		for i := range 30 {
			w.Delivered(families.Change{Entity: families.Menu, Transaction: uint64(i + 1)})
			time.Sleep(time.Millisecond)
		}
	})
	if c.marked != 30 || len(c.marks) > 3 {
		t.Errorf("%d reports were marked, in %d statements", c.marked, len(c.marks))
	}
	for _, at := range c.marks {
		if at > 30*time.Millisecond+50*time.Millisecond {
			t.Errorf("marked after %v", at)
		}
	}
	if len(c.marks) > 0 && c.marks[0] > 50*time.Millisecond || c.grace < 100*time.Millisecond {
		t.Errorf("the first is marked after %v, the grace is %v", c.marks[0], c.grace)
	}
}

func TestPollsFiveTimesASecond(t *testing.T) {
	var c clocked
	runFor(t, &c, 10*time.Second-time.Millisecond, func(*outbox.Worker) {})
	if len(c.deliveries) != 50 {
		t.Errorf("polled %d times in 10 s, want 50", len(c.deliveries))
	}
	if c.kept < families.LongestLifetime()+time.Minute {
		t.Errorf("delivered changes are kept for %v only", c.kept)
	}
}

func TestPausesGrowUnderErrors(t *testing.T) {
	c := clocked{broken: errors.New("PostgreSQL is away")}
	runFor(t, &c, 10*time.Second-time.Millisecond, func(*outbox.Worker) {})
	var last time.Duration
	for _, at := range c.deliveries[1:] {
		if pause := at - last; pause < 200*time.Millisecond || pause > 2*time.Second {
			t.Errorf("a pause of %v", pause)
		}
		last = at
	}
	if n := len(c.deliveries); n < 6 || n > 10 {
		t.Errorf("tried %d times in 10 s", n)
	}
}
