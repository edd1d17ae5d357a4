// Package outbox sees to it that no invalidation is lost. The database records
// every change in the transaction that makes it; a request drops the keys of
// its own change and reports so, and a Worker drops the keys of whatever is
// left: changes whose process died, changes by SQL.
//
// Drops commute: dropping a key early, twice or in another order than the
// changes happened costs a miss and never shows an old value, because a load
// that began before a drop is not stored after it. So nothing here keeps an
// order, and everything may happen more than once.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/origin"
)

const (
	pollEvery  = 200 * time.Millisecond
	stateEvery = time.Second
	pruneEvery = time.Minute
	// grace is how long a request has to drop the keys of its change and to
	// report it, before the worker does.
	grace = 200 * time.Millisecond
	// keepMargin is added to the longest lifetime, for clocks that differ.
	keepMargin   = 10 * time.Minute
	longestPause = 2 * time.Second // between tries

	deliverBatch = 100 // entries, of at most 500 ids
	pruneBatch   = 10_000
	dropBatch    = 500 // keys
)

// Source is the outbox in the database; see origin.Postgres.
type Source interface {
	Deliver(ctx context.Context, grace time.Duration, limit int, drop func(context.Context, []families.Change) error) (int, error)
	MarkDelivered(ctx context.Context, changes []families.Change) (int, error)
	PendingChanges(ctx context.Context, limit int) (changes []families.Change, more bool, err error)
	DeliveredChanges(ctx context.Context, since time.Duration, limit int) (changes []families.Change, complete bool, err error)
	PruneOutbox(ctx context.Context, keep time.Duration, limit int) (int, error)
	OutboxState(ctx context.Context) (origin.OutboxState, error)
	TrustedServers(ctx context.Context, identities []string) (bool, error)
	TrustServers(ctx context.Context, identities []string) error
}

var _ Source = (*origin.Postgres)(nil)

// Options are a Worker's settings. Source and Drop are required.
type Options struct {
	Source Source
	// Drop drops keys, at most 500, and returns nil once Redis has. It bounds
	// itself.
	Drop func(ctx context.Context, keys []families.Key) error
	// Clear removes whole families. Where it is nil, a change of everything
	// cannot be delivered.
	Clear func(ctx context.Context, whole []*families.Family) error
	// Lifetime is the longest that an entry which changes can outdate stays in
	// Redis. 0 means families.LongestLifetime.
	Lifetime   time.Duration
	Registerer prometheus.Registerer // nil registers nothing
	Logger     *slog.Logger          // nil discards
}

// Worker delivers what the outbox records. It is safe for concurrent use, and
// several of them, in any processes, share the work.
type Worker struct {
	source   Source
	drop     func(context.Context, []families.Key) error
	clear    func(context.Context, []*families.Family) error
	metrics  *metrics
	logger   *slog.Logger
	reports  chan families.Change
	lifetime time.Duration

	mu       sync.Mutex
	caughtUp []string // the servers of the last catch-up, nil before the first
}

// New returns a worker that does nothing until Run.
func New(o Options) (*Worker, error) {
	if o.Source == nil || o.Drop == nil {
		return nil, errors.New("an outbox worker needs a Source and a Drop")
	}
	if o.Clear == nil {
		o.Clear = func(context.Context, []*families.Family) error {
			return errors.New("nothing here can clear whole families")
		}
	}
	if o.Lifetime == 0 {
		o.Lifetime = families.LongestLifetime()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("outbox metrics: %w", err)
	}
	return &Worker{
		source: o.Source, drop: o.Drop, clear: o.Clear, metrics: m, logger: o.Logger,
		reports: make(chan families.Change, maxReports), lifetime: o.Lifetime,
	}, nil
}

// Run delivers until ctx ends. What fails is tried again; the log has a line
// when it begins to fail and one when it works again.
func (w *Worker) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { w.repeat(ctx, "deliver", pollEvery, w.deliver) })
	all.Go(func() { w.repeat(ctx, "read the state", stateEvery, w.observe) })
	all.Go(func() { w.repeat(ctx, "prune", pruneEvery, w.prune) })
	all.Go(func() { w.mark(ctx) })
}

// repeat calls f, and after an error sooner or later than usual: pauses grow
// from 200 ms to 2 s.
func (w *Worker) repeat(ctx context.Context, task string, every time.Duration, f func(context.Context) error) {
	health := health{logger: w.logger, task: task}
	pause := time.NewTimer(0)
	defer pause.Stop()
	retry := pollEvery
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		err := f(ctx)
		if ctx.Err() != nil {
			return
		}
		health.tell(ctx, err)
		if err != nil {
			pause.Reset(retry)
			retry = min(2*retry, longestPause)
			continue
		}
		pause.Reset(every)
		retry = pollEvery
	}
}

// deliver drops what is due, to the last full batch.
func (w *Worker) deliver(ctx context.Context) error {
	for {
		n, err := w.source.Deliver(ctx, grace, deliverBatch, func(ctx context.Context, changes []families.Change) error {
			return w.apply(ctx, changes, w.drop)
		})
		w.metrics.byWorker.Add(float64(n))
		if err != nil || n < deliverBatch {
			return err
		}
	}
}

// prune removes what no catch-up will ask for, to the last full batch.
func (w *Worker) prune(ctx context.Context) error {
	for {
		n, err := w.source.PruneOutbox(ctx, w.lifetime+keepMargin, pruneBatch)
		if err != nil || n < pruneBatch {
			return err
		}
	}
}

// observe puts the state on the metrics. What is not known is no number there.
func (w *Worker) observe(ctx context.Context) error {
	s, err := w.source.OutboxState(ctx)
	if err != nil {
		w.metrics.unknown()
		return err
	}
	w.metrics.state(s)
	return nil
}
