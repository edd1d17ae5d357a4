package instrumented

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/testenv"
)

// BenchmarkOutage takes a real Redis away under load and gives it back, once
// for each way of being away, and reports what the requests felt:
//
//	failed         requests that got no value
//	p99-before-ms  99th percentile while Redis answered
//	p99-during-ms  the same from its loss to its return, the origin's time included
//	p99-waited-ms  99th percentile of the time waited for Redis in that span
//	worst-ms       the slowest request of all
//	recovery-ms    from Redis' return to the first hit
//
// Run it with -benchtime 1x.
func BenchmarkOutage(b *testing.B) {
	kill := func(s *testenv.RedisServer) { s.Kill() }
	start := func(s *testenv.RedisServer) { s.Start() }
	for _, fault := range []struct {
		name       string
		begin, end func(*testenv.RedisServer)
	}{
		{"killed", kill, start},
		{"hung", (*testenv.RedisServer).Pause, (*testenv.RedisServer).Resume},
	} {
		b.Run(fault.name, func(b *testing.B) {
			for b.Loop() {
				measureOutage(b, fault.begin, fault.end)
			}
		})
	}
	b.Run("refused-from-the-start", func(b *testing.B) {
		for b.Loop() {
			server := testenv.Redis(b)
			server.Kill()
			measureOutage(b, func(*testenv.RedisServer) {}, start, server)
		}
	})
}

const (
	outageUsers  = 500
	outageRate   = 1000 // requests per second
	outageBefore = time.Second
	outageLength = 3 * time.Second
	outageAfter  = 3 * time.Second
	originTime   = 2 * time.Millisecond
)

// sample is one request: when it came, how long it took, how it was answered.
type sample struct {
	at     time.Time
	took   time.Duration
	waited time.Duration // for Redis
	result Result
	failed bool
}

func measureOutage(b *testing.B, begin, end func(*testenv.RedisServer), servers ...*testenv.RedisServer) {
	var server *testenv.RedisServer
	if len(servers) > 0 {
		server = servers[0]
	} else {
		server = testenv.Redis(b)
	}
	client, err := NewRedis(RedisOptions{Addrs: []string{server.Addr}})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	c, err := New(Options{Redis: client})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()

	load := &outageLoad{profiles: For[profile](c, families.UserProfile)}
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { load.run(ctx) })
	<-time.After(outageBefore)
	begin(server)
	lost := time.Now()
	<-time.After(outageLength)
	end(server)
	back := time.Now()
	<-time.After(outageAfter)
	stop()
	running.Wait()
	load.report(b, lost, back)
}

// outageLoad sends requests at a constant rate that does not wait for answers.
type outageLoad struct {
	profiles Typed[profile]
	mu       sync.Mutex
	samples  []sample
	asked    atomic.Int64
}

func (l *outageLoad) run(ctx context.Context) {
	var inFlight sync.WaitGroup
	defer inFlight.Wait()
	tick := time.NewTicker(time.Second / outageRate)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			inFlight.Go(l.request)
		}
	}
}

func (l *outageLoad) request() {
	id := fmt.Sprintf("user_%d", l.asked.Add(1)%outageUsers)
	r := NewRequest(false)
	start := time.Now()
	p, err := l.profiles.Fetch(WithRequest(context.Background(), r), id, func(context.Context) (profile, error) {
		time.Sleep(originTime)
		return profile{Name: id}, nil
	})
	s := sample{at: start, took: time.Since(start), waited: r.Waited(), failed: err != nil || p.Name != id}
	if lookups := r.Lookups(); len(lookups) == 1 {
		s.result = lookups[0].Result
	}
	l.mu.Lock()
	l.samples = append(l.samples, s)
	l.mu.Unlock()
}

func (l *outageLoad) report(b *testing.B, lost, back time.Time) {
	var before, during, waited, all []time.Duration
	failed, recovery := 0, time.Duration(-1)
	for _, s := range l.samples {
		all = append(all, s.took)
		switch {
		case s.at.Add(s.took).Before(lost):
			before = append(before, s.took)
		case s.at.Before(back):
			during = append(during, s.took)
			waited = append(waited, s.waited)
		case s.result == Hit:
			if since := s.at.Sub(back); recovery < 0 || since < recovery {
				recovery = since
			}
		}
		if s.failed {
			failed++
		}
	}
	if recovery < 0 {
		b.Errorf("no hit within %v of Redis' return", outageAfter)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(len(all)), "requests")
	b.ReportMetric(float64(failed), "failed")
	b.ReportMetric(milliseconds(percentile(before, 99)), "p99-before-ms")
	b.ReportMetric(milliseconds(percentile(during, 99)), "p99-during-ms")
	b.ReportMetric(milliseconds(percentile(waited, 99)), "p99-waited-ms")
	b.ReportMetric(milliseconds(percentile(all, 100)), "worst-ms")
	b.ReportMetric(milliseconds(recovery), "recovery-ms")
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func percentile(durations []time.Duration, p int) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	slices.Sort(durations)
	return durations[(len(durations)-1)*p/100]
}
