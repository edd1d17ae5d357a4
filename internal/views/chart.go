package views

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// bar is a rectangle of a chart, in user units.
type bar struct{ X, Y, Width, Height string }

const (
	histogramWidth  = 96.0
	histogramHeight = 24.0
)

// histogramBars lays out one bar per bucket, the fullest as high as the chart.
// A bucket that is not empty is at least visible; an empty one is a line.
func histogramBars(counts []int64) []bar {
	var most int64
	for _, n := range counts {
		most = max(most, n)
	}
	step := histogramWidth / float64(len(counts))
	bars := make([]bar, len(counts))
	for i, n := range counts {
		height := 1.0
		if n > 0 {
			height = max(3, histogramHeight*float64(n)/float64(most))
		}
		bars[i] = bar{
			X: number(float64(i) * step), Y: number(histogramHeight - height),
			Width: number(step - 1.5), Height: number(height),
		}
	}
	return bars
}

// histogramText says in words what the histogram shows.
func histogramText(k Keys) string {
	var within [3]int64
	var all int64
	for i, n := range k.Left {
		within[i*len(within)/len(k.Left)] += n
		all += n
	}
	if all == 0 {
		return "No keys with an expiry."
	}
	third := k.Lifetime / 3
	return fmt.Sprintf("%s by time left: %s under %s, %s under %s, %s up to %s.",
		Plural(all, "key", "keys"), Count(within[0]), Duration(third),
		Count(within[1]), Duration(2*third), Count(within[2]), Duration(k.Lifetime))
}

// share returns the width of a bar for v where most is the full width.
func share(v, most, width float64) string {
	if most <= 0 || v <= 0 {
		return "0"
	}
	return number(max(1, min(width, width*v/most)))
}

func slowest(ops []Operation) float64 {
	most := 0.0
	for _, o := range ops {
		if o.Uncached.OK {
			most = max(most, o.Uncached.Seconds)
		}
	}
	return most
}

const (
	trendWidth  = 240.0
	trendHeight = 36.0
	trendLength = 60
)

// trendPath draws one value per second as a line that ends at the right edge.
// The area under it is closed when fill is set.
func trendPath(values []float64, most float64, fill bool) string {
	if len(values) < 2 || most <= 0 {
		return ""
	}
	if len(values) > trendLength {
		values = values[len(values)-trendLength:]
	}
	step := trendWidth / float64(trendLength-1)
	left := trendWidth - step*float64(len(values)-1)
	var path strings.Builder
	for i, v := range values {
		command := "L"
		if i == 0 {
			command = "M"
		}
		y := 1 + (trendHeight-2)*(1-min(v, most)/most)
		path.WriteString(command + number(left+step*float64(i)) + " " + number(y))
	}
	if fill {
		path.WriteString("L" + number(trendWidth) + " " + number(trendHeight) +
			"L" + number(left) + " " + number(trendHeight) + "Z")
	}
	return path.String()
}

func hitsPerSecond(trend []Second) []float64 {
	return each(trend, func(s Second) float64 { return float64(s.Hits) })
}

func missesPerSecond(trend []Second) []float64 {
	return each(trend, func(s Second) float64 { return float64(s.Misses) })
}

// ratioPerSecond leaves out the seconds without lookups at the start and
// carries the ratio over those in between.
func ratioPerSecond(trend []Second) []float64 {
	var ratios []float64
	for _, s := range trend {
		switch all := s.Hits + s.Misses; {
		case all > 0:
			ratios = append(ratios, float64(s.Hits)/float64(all))
		case len(ratios) > 0:
			ratios = append(ratios, ratios[len(ratios)-1])
		}
	}
	return ratios
}

func each(trend []Second, f func(Second) float64) []float64 {
	values := make([]float64, len(trend))
	for i, s := range trend {
		values[i] = f(s)
	}
	return values
}

func highest(values []float64) float64 {
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	return most
}

func number(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// delays lists the emulated origin delays in the order of the families.
func (o Overview) delays() string {
	var parts []string
	for _, f := range o.Families {
		if d := o.Surroundings.Network.Origin[f.Name]; d > 0 {
			parts = append(parts, strings.ToLower(f.Title)+" "+Duration(d))
		}
	}
	return strings.Join(parts, ", ")
}

// text says where the numbers of the scan come from and how fresh they are.
func (s Scan) text() string {
	text := "exact scan of " + Plural(s.Scanned, "key", "keys") + " " + Ago(s.Age) + ", took " + Seconds(s.Took.Seconds(), true)
	if s.Every > 0 {
		text += ", renewed every " + Duration(s.Every)
	}
	return text + "."
}

func window(d time.Duration) string {
	return "last " + Count(int64(d.Round(time.Second)/time.Second)) + gap + "s"
}
