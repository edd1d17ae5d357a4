package instrumented_test

import (
	"slices"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/testenv"
)

// scene is a Redis that is about to go wrong.
type scene struct {
	redis      instrumented.RedisOptions
	begin, end func()
	// The breaker has to open and stay so until the end, unless single replies
	// go wrong, which spoilt counts, or the fault heals before its end, as a
	// failover does.
	spoilt func() int
	heals  bool
}

// fault is one way for a Redis to be away, from a moment under load or from
// the start.
type fault struct {
	name      string
	prepare   func(testing.TB) scene
	fromStart bool
}

var faults = []fault{
	{name: "refused", prepare: spoiled(testenv.Faults{Refuse: true})},
	{name: "refused from the start", prepare: spoiled(testenv.Faults{Refuse: true}), fromStart: true},
	{name: "SYN dropped", prepare: spoiled(testenv.Faults{Drop: true})},
	{name: "SYN dropped from the start", prepare: spoiled(testenv.Faults{Drop: true}), fromStart: true},
	{name: "hung", prepare: hung},
	{name: "stalled", prepare: spoiled(testenv.Faults{Stall: true})},
	{name: "1 s late", prepare: spoiled(testenv.Faults{Delay: time.Second})},
	{name: "replies cut", prepare: spoiled(testenv.Faults{Cut: 3})},
	{name: "connections cut", prepare: connectionsCut},
	{name: "1 % corrupted", prepare: spoiledReplies(testenv.Faults{Corrupt: 0.01})},
	{name: "replies swapped", prepare: spoiledReplies(testenv.Faults{Swap: 1})},
	{name: "Cluster failover", prepare: clusterFailover},
	{name: "Sentinel failover", prepare: sentinelFailover},
}

func spoiled(f testenv.Faults) func(testing.TB) scene {
	return func(tb testing.TB) scene {
		s, _ := behindProxy(tb, f)
		return s
	}
}

func spoiledReplies(f testenv.Faults) func(testing.TB) scene {
	return func(tb testing.TB) scene {
		s, p := behindProxy(tb, f)
		s.spoilt = p.Spoilt
		return s
	}
}

func behindProxy(tb testing.TB, f testenv.Faults) (scene, *testenv.Proxy) {
	p := testenv.NewProxy(tb, testenv.Redis(tb).Addr, 1)
	set := func(f testenv.Faults) {
		if err := p.Set(f); err != nil {
			tb.Fatal(err)
		}
	}
	return scene{
		redis: instrumented.RedisOptions{Addrs: []string{p.Addr}},
		begin: func() { set(f) },
		end:   func() { set(testenv.Faults{}) },
	}, p
}

func hung(tb testing.TB) scene {
	s := testenv.Redis(tb)
	return scene{redis: instrumented.RedisOptions{Addrs: []string{s.Addr}}, begin: s.Pause, end: s.Resume}
}

func connectionsCut(tb testing.TB) scene {
	s, p := behindProxy(tb, testenv.Faults{})
	s.begin, s.heals = p.CutConnections, true
	return s
}

func clusterFailover(tb testing.TB) scene {
	c := testenv.RedisCluster(tb)
	key, err := families.UserProfile.Key(id(0))
	if err != nil {
		tb.Fatal(err)
	}
	lost := c.MasterOf(key.String())
	return scene{
		redis: instrumented.RedisOptions{Addrs: c.Addrs()},
		begin: lost.Kill,
		end:   func() { c.WaitFailedOver(lost) },
		heals: true,
	}
}

func sentinelFailover(tb testing.TB) scene {
	s := testenv.RedisSentinel(tb, "a secret")
	lost := s.Master()
	return scene{
		redis: instrumented.RedisOptions{Addrs: s.SentinelAddrs(), MasterName: s.MasterName, Password: "a secret"},
		begin: lost.Kill,
		end:   func() { s.WaitFailedOver(lost) },
		heals: true,
	}
}

// enoughSpoilt is how many replies a fault has to spoil to be a test.
const enoughSpoilt = 5

// outage is what one fault did to the requests.
type outage struct {
	load *load
	// When the first hit came, the fault began, the breaker was open (zero when
	// it need not), the fault ended, a hit came again, and one of every key.
	sound, begun, opened, ended, back, whole time.Time
}

// suffer takes a fault from its beginning to the first hit after its end,
// under load for some seconds.
func suffer(tb testing.TB, f fault, options instrumented.Options, rate int) outage {
	tb.Helper()
	s := f.prepare(tb)
	if f.fromStart {
		s.begin()
	}
	c := open(tb, s.redis, options)
	o := outage{load: startLoad(tb, c, rate), begun: time.Now()}
	if !f.fromStart {
		until(tb, "the first hit", func() (ok bool) { o.sound, ok = o.load.hitSince(time.Time{}); return ok })
		o.load.await(tb, rate)
		o.begun = time.Now()
		s.begin()
	}
	switch {
	case s.spoilt != nil:
		until(tb, "enough went wrong", func() bool { return s.spoilt() >= enoughSpoilt })
	case !s.heals:
		until(tb, "the breaker is open", func() bool { return !c.Available() })
		o.opened = time.Now()
	}
	o.load.await(tb, 5*rate/2) // longer than a late Redis takes to look like a distant one
	o.ended = time.Now()
	s.end()
	if s.heals {
		o.ended = time.Now()
	}
	until(tb, "hits again", func() (ok bool) { o.back, ok = o.load.hitSince(o.ended); return ok })
	until(tb, "the breaker is closed", c.Available)
	// In a Cluster the first hit may be of a master that was never lost.
	until(tb, "every key hits again", func() (ok bool) { o.whole, ok = o.load.allHitSince(o.ended); return ok })
	o.load.stop()
	return o
}

func TestNoFaultReachesARequest(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			o := suffer(t, f, instrumented.Options{}, 200)
			o.load.check(t)
			if o.opened.IsZero() {
				return
			}
			for _, s := range o.load.sent(o.opened, o.ended) {
				if s.available {
					t.Errorf("%v after the breaker had opened it was closed, the fault went on", s.at.Sub(o.opened))
					break
				}
			}
		})
	}
}

// BenchmarkFaults lets a real Redis go wrong under load, once for each way,
// and reports what the requests felt:
//
//	requests, failed, wrong  how many, without a value, with another key's
//	p99-sound-ms             99th percentile of the time in the cache before the fault
//	p99-added-closed-ms      what the fault added to it until the breaker opened
//	p99-open-ms              99th percentile while the breaker was open
//	worst-ms                 the slowest request of all
//	recovery-ms              from the end of the fault to the first hit
//	recovery-all-ms          the same to the last key's first hit
//
// A failover ends when the servers agree on the new master. Run it with
// -benchtime 1x.
func BenchmarkFaults(b *testing.B) {
	for _, f := range faults {
		b.Run(f.name, func(b *testing.B) {
			for b.Loop() {
				suffer(b, f, instrumented.Options{}, 1000).report(b)
			}
		})
	}
}

func (o outage) report(b *testing.B) {
	all := o.load.sent(time.Time{}, time.Time{})
	failed, wrong := o.load.check(b)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(len(all)), "requests")
	b.ReportMetric(float64(failed), "failed")
	b.ReportMetric(float64(wrong), "wrong")
	sound := o.load.sent(o.sound, o.begun)
	b.ReportMetric(p99(sound), "p99-sound-ms")
	during := o.load.sent(o.begun, o.ended)
	open := slices.DeleteFunc(slices.Clone(during), func(s sample) bool { return s.available })
	closed := slices.DeleteFunc(during, func(s sample) bool { return !s.available })
	b.ReportMetric(max(0, p99(closed)-p99(sound)), "p99-added-closed-ms")
	b.ReportMetric(p99(open), "p99-open-ms")
	b.ReportMetric(percentile(all, 100), "worst-ms")
	b.ReportMetric(milliseconds(o.back.Sub(o.ended)), "recovery-ms")
	b.ReportMetric(milliseconds(o.whole.Sub(o.ended)), "recovery-all-ms")
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func p99(samples []sample) float64 { return percentile(samples, 99) }

// percentile returns a percentile of how long requests took, in milliseconds,
// 0 for none.
func percentile(samples []sample, p int) float64 {
	if len(samples) == 0 {
		return 0
	}
	var took []time.Duration
	for _, s := range samples {
		took = append(took, s.took)
	}
	slices.Sort(took)
	return milliseconds(took[(len(took)-1)*p/100])
}
