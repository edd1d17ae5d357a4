package views

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestHistogramBars(t *testing.T) {
	bars := histogramBars([]int64{0, 1, 1000, 500})
	if len(bars) != 4 {
		t.Fatalf("%d bars, want 4", len(bars))
	}
	heights := []string{"1", "3", "24", "12"}
	for i, b := range bars {
		if b.Height != heights[i] {
			t.Errorf("bar %d is %s high, want %s", i, b.Height, heights[i])
		}
		y, _ := strconv.ParseFloat(b.Y, 64)
		height, _ := strconv.ParseFloat(b.Height, 64)
		if y+height != histogramHeight {
			t.Errorf("bar %d ends at %v, not at the base line", i, y+height)
		}
	}
}

func TestHistogramText(t *testing.T) {
	k := Keys{Lifetime: 6 * time.Minute, Left: [12]int64{0: 1, 3: 2, 4: 10, 11: 1200}}
	want := strings.ReplaceAll("1,213 keys by time left: 3 under 2 min, 10 under 4 min, 1,200 up to 6 min.", " min", "\u00a0min")
	if got := histogramText(k); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := histogramText(Keys{}); got != "No keys with an expiry." {
		t.Errorf("without keys: %q", got)
	}
}

func TestTrendPath(t *testing.T) {
	if p := trendPath([]float64{1}, 1, false); p != "" {
		t.Errorf("one value makes no line, got %q", p)
	}
	if p := trendPath([]float64{0, 0}, 0, false); p != "" {
		t.Errorf("no scale makes no line, got %q", p)
	}
	if p := trendPath([]float64{0, 10}, 10, false); !strings.HasSuffix(p, "L240 1") {
		t.Errorf("%q does not end at the top right", p)
	}
	long := make([]float64, 1000)
	if p := trendPath(long, 1, false); strings.Count(p, "L") != trendLength-1 || !strings.HasPrefix(p, "M0 ") {
		t.Errorf("1000 values are not cut to the chart: %q", p)
	}
}

func TestRatioPerSecond(t *testing.T) {
	got := ratioPerSecond([]Second{{}, {Hits: 1, Misses: 1}, {}, {Hits: 3, Misses: 1}})
	want := []float64{0.5, 0.5, 0.75}
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestLookupsRatio(t *testing.T) {
	if _, ok := (Lookups{Bypassed: 3, Unanswered: 2}).Ratio(); ok {
		t.Error("a ratio without an answered lookup")
	}
	if r, ok := (Lookups{Hits: 3, Misses: 1, Bypassed: 100, Unanswered: 100}).Ratio(); !ok || r != 0.75 {
		t.Errorf("ratio %v, %v; want 0.75", r, ok)
	}
}
