package scenarios

import (
	"math"
	"strings"
	"sync"
	"testing"
)

func newModel(tb testing.TB, p Params) *Model {
	tb.Helper()
	m, err := NewModel(p)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func TestEventsArePure(t *testing.T) {
	const events, parts = 10_000, 4
	p := DefaultParams()
	whole := make([]Event, events)
	m := newModel(t, p)
	for i := range whole {
		whole[i] = m.Event(uint64(i))
	}
	split := make([]Event, events)
	var all sync.WaitGroup
	for part := range parts {
		all.Go(func() {
			own := newModel(t, p) // as another process would have it
			for i := events - parts + part; i >= 0; i -= parts {
				split[i] = own.Event(uint64(i))
			}
		})
	}
	all.Wait()
	for i := range whole {
		if whole[i] != split[i] {
			t.Fatalf("event %d is %+v in one generator and %+v in four", i, whole[i], split[i])
		}
	}
	p.Seed++
	other, same := newModel(t, p), 0
	for i := range whole {
		if other.Event(uint64(i)) == whole[i] {
			same++
		}
	}
	if same > events/10 {
		t.Errorf("another seed makes %d of %d events the same", same, events)
	}
}

// chiSquare pools bins until each expects at least five and returns the
// statistic in standard deviations from its mean (Wilson-Hilferty).
func chiSquare(observed, expected []float64) float64 {
	statistic, bins, seen, want := 0.0, 0, 0.0, 0.0
	for i := range observed {
		seen += observed[i]
		want += expected[i]
		if want >= 5 {
			statistic += (seen - want) * (seen - want) / want
			bins++
			seen, want = 0, 0
		}
	}
	freedom := float64(bins - 1)
	spread := 2 / (9 * freedom)
	return (math.Cbrt(statistic/freedom) - (1 - spread)) / math.Sqrt(spread)
}

// tooFar is the distance that fair draws exceed once in 30,000 times; with a
// fixed seed it is exceeded always or never.
const tooFar = 4

func userDistance(t *testing.T, drawn, promised float64) float64 {
	const events, users = 100_000, 500
	p := DefaultParams()
	p.Users, p.Alpha = users, drawn
	m := newModel(t, p)
	observed, expected := make([]float64, users), make([]float64, users)
	for i := range uint64(events) {
		observed[m.Event(i).User]++
	}
	total := 0.0
	for k := range expected {
		expected[k] = math.Pow(float64(k+1), -promised)
		total += expected[k]
	}
	for k := range expected {
		expected[k] *= events / total
	}
	return chiSquare(observed, expected)
}

func TestUsersAreAsPopularAsPromised(t *testing.T) {
	for _, alpha := range []float64{0, 0.63, 1.21, 1.51} {
		if d := userDistance(t, alpha, alpha); d > tooFar {
			t.Errorf("alpha %v: the users drawn are %.1f deviations off", alpha, d)
		}
		if d := userDistance(t, alpha, alpha+0.05); d <= tooFar {
			t.Errorf("alpha %v passes for %v: this test shows nothing", alpha, alpha+0.05)
		}
	}
}

func TestMixIsAsPromised(t *testing.T) {
	const events = 200_000
	m := newModel(t, DefaultParams())
	counts := make(map[Operation]float64)
	for i := range uint64(events) {
		counts[m.Event(i).Operation]++
	}
	weights := map[bool]float64{}
	for _, o := range mix {
		weights[o.writes] += o.weight
	}
	var observed, expected []float64
	for _, o := range mix {
		share := DefaultParams().ReadShare
		if o.writes {
			share = 1 - share
		}
		observed = append(observed, counts[o.operation])
		expected = append(expected, events*share*o.weight/weights[o.writes])
	}
	if d := chiSquare(observed, expected); d > tooFar {
		t.Errorf("the mix is %.1f deviations off: %v, want %v", d, observed, expected)
	}
}

func TestCoinIsFairAndIndependent(t *testing.T) {
	const events = 100_000
	m := newModel(t, DefaultParams())
	var heads, popular, both float64
	for i := range uint64(events) {
		head, hot := m.Coin(i) < 0.5, m.Event(i).User == 0
		if head {
			heads++
		}
		if hot {
			popular++
		}
		if head && hot {
			both++
		}
	}
	if d := math.Abs(heads-events/2) / math.Sqrt(events/4); d > tooFar {
		t.Errorf("%v heads of %d", heads, events)
	}
	if d := math.Abs(both-popular/2) / math.Sqrt(popular/4); d > tooFar {
		t.Errorf("%v heads among the %v events of the most popular user", both, popular)
	}
}

func TestFixedOperationAndAbsence(t *testing.T) {
	p := DefaultParams()
	p.Operation, p.AbsentShare = Conversation, 1
	m := newModel(t, p)
	for i := range uint64(100) {
		if e := m.Event(i); e.Operation != Conversation || !e.Absent {
			t.Fatalf("event %d is %+v", i, e)
		}
	}
	p.Operation = Menu
	if e := newModel(t, p).Event(1); e.Absent {
		t.Error("there is no absent menu")
	}
}

func TestEventsDoNotAllocate(t *testing.T) {
	m := newModel(t, DefaultParams())
	i := uint64(0)
	if n := testing.AllocsPerRun(1000, func() { m.Event(i); i++ }); n != 0 {
		t.Errorf("an event takes %v allocations", n)
	}
}

func TestParamsAreChecked(t *testing.T) {
	wrong := Params{Users: 0, Alpha: -1, ReadShare: 2, AbsentShare: math.NaN(), ThinkTime: -1, Operation: "fly"}
	err := wrong.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"users", "alpha", "read share", "absent share", "think time", "fly"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
	if err := DefaultParams().Validate(); err != nil {
		t.Error(err)
	}
}

func TestScriptsAreThoseOfTheTable(t *testing.T) {
	files, err := sources.ReadDir("scripts")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(Scripts()) {
		t.Errorf("%d files, %d lines in the table", len(files), len(Scripts()))
	}
	for _, s := range Scripts() {
		text, err := s.Source()
		if err != nil || !strings.Contains(string(text), `from "k6/x/ogcache"`) {
			t.Errorf("%s: %v\n%s", s.Name, err, text)
		}
	}
}

func FuzzEvent(f *testing.F) {
	f.Add(1, 1.21, 0.86, 0.01, uint64(1), uint64(0))
	f.Fuzz(func(t *testing.T, users int, alpha, read, absent float64, seed, i uint64) {
		if users > 10_000 {
			return // only slower
		}
		m, err := NewModel(Params{Users: users, Alpha: alpha, ReadShare: read, AbsentShare: absent, Seed: seed})
		if err != nil {
			return
		}
		e := m.Event(i)
		if e.User < 0 || e.User >= users || e.Conversation < 0 || e.Operation == "" {
			t.Errorf("event %d is %+v", i, e)
		}
	})
}

func BenchmarkEvent(b *testing.B) {
	m := newModel(b, DefaultParams())
	i := uint64(0)
	for b.Loop() {
		m.Event(i)
		i++
	}
}
