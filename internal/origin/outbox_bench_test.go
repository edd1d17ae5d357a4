package origin

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkAddMessage tells what the outbox costs a write: it alternates
// between triggers on and off in one run and reports the commits per second of
// both, and their ratio.
func BenchmarkAddMessage(b *testing.B) {
	p := migratedPostgres(b)
	ids := mustSeed(b, p, Population{Users: 200, Seed: 1})
	ctx := b.Context()
	var took [2]time.Duration
	var commits [2]int
	for round := 0; b.Loop(); round++ {
		on := round % 2
		if err := p.SwitchOutbox(ctx, on == 1); err != nil {
			b.Fatal(err)
		}
		const writers, each = 8, 250
		var next atomic.Int64
		start := time.Now()
		errs := make(chan error, writers)
		for range writers {
			go func() {
				for next.Add(1) <= writers*each {
					id := ids[int(next.Load())%len(ids)]
					if _, _, err := p.AddMessage(ctx, id.Conversations[0], id.UserID, "user", fmt.Sprint("message ", round)); err != nil {
						errs <- err
						return
					}
				}
				errs <- nil
			}()
		}
		for range writers {
			if err := <-errs; err != nil {
				b.Fatal(err)
			}
		}
		took[on] += time.Since(start)
		commits[on] += writers * each
	}
	if commits[1] == 0 {
		return // too short for both
	}
	off, on := float64(commits[0])/took[0].Seconds(), float64(commits[1])/took[1].Seconds()
	b.ReportMetric(off, "commits/s-off")
	b.ReportMetric(on, "commits/s-on")
	b.ReportMetric(on/off, "on/off")
}
