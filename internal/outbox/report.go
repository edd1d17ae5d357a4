package outbox

import (
	"context"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

const (
	maxReports  = 10_000 // that wait to be marked
	reportBatch = 500
	// reportWithin is how long a report waits for others. With the statement that
	// marks it, it stays well within grace.
	reportWithin = 20 * time.Millisecond
)

// Delivered reports that the keys of a change have been dropped, all of them.
// It does not wait. A report that is lost, when there are too many or Run does
// not run, leaves the change to be delivered once more.
func (w *Worker) Delivered(c families.Change) {
	if c.Transaction == 0 {
		return
	}
	select {
	case w.reports <- c:
	default:
	}
}

// mark marks in batches what was reported, until ctx ends.
func (w *Worker) mark(ctx context.Context) {
	health := health{logger: w.logger, task: "mark what requests dropped"}
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-w.reports:
			n, err := w.source.MarkDelivered(ctx, w.gather(ctx, first))
			if ctx.Err() != nil {
				return
			}
			w.metrics.byRequest.Add(float64(n))
			health.tell(ctx, err)
		}
	}
}

// gather returns a report together with those that soon follow.
func (w *Worker) gather(ctx context.Context, first families.Change) []families.Change {
	reported := []families.Change{first}
	enough := time.NewTimer(reportWithin)
	defer enough.Stop()
	for len(reported) < reportBatch {
		select {
		case <-ctx.Done():
			return reported
		case <-enough.C:
			return reported
		case c := <-w.reports:
			reported = append(reported, c)
		}
	}
	return reported
}
