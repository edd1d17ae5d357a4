package views

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// None stands where there is nothing to show. It never stands for zero.
const None = "—"

// gap keeps a number and its unit on one line.
const gap = "\u00a0"

// Count formats a whole number with thousands separators.
func Count[N ~int | ~int64 | ~uint64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	sign := ""
	if rest, negative := strings.CutPrefix(digits, "-"); negative {
		sign, digits = "-", rest
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Plural formats a count and its noun: "1 key", "1,204 keys".
func Plural[N ~int | ~int64 | ~uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Percent formats a share of 0 to 1 with one decimal. It says 100 % and 0 %
// only when the share is exactly that.
func Percent(share float64, ok bool) string {
	switch {
	case !ok || math.IsNaN(share):
		return None
	case share <= 0:
		return "0" + gap + "%"
	case share >= 1:
		return "100" + gap + "%"
	case share < 0.001:
		return "< 0.1" + gap + "%"
	case share > 0.999:
		return "> 99.9" + gap + "%"
	}
	return strconv.FormatFloat(share*100, 'f', 1, 64) + gap + "%"
}

// Seconds formats a duration given in seconds with a unit and up to three
// significant digits: "840 µs", "2.41 ms", "152 ms", "1.3 s".
func Seconds(s float64, ok bool) string {
	if !ok || math.IsNaN(s) || s < 0 {
		return None
	}
	switch {
	case s == 0:
		return "0" + gap + "ms"
	case s < 0.9995e-3:
		return significant(s*1e6) + gap + "µs"
	case s < 0.9995:
		return significant(s*1e3) + gap + "ms"
	case s < 120:
		return significant(s) + gap + "s"
	}
	return Duration(time.Duration(s * float64(time.Second)))
}

// significant rounds to three significant digits without an exponent and drops
// trailing zeros behind the point.
func significant(v float64) string {
	decimals := 2
	switch {
	case v >= 99.95:
		decimals = 0
	case v >= 9.995:
		decimals = 1
	}
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// Duration formats a duration as people say it: "150 ms", "1.5 ms", "12 s",
// "5 min", "1 h 30 min", "2 d 4 h".
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return None
	case d < 2*time.Minute && d%time.Minute != 0 || d < time.Minute:
		return Seconds(d.Seconds(), true)
	case d < time.Hour:
		return pair(d, time.Minute, "min", time.Second, "s")
	case d < 48*time.Hour:
		return pair(d, time.Hour, "h", time.Minute, "min")
	}
	return pair(d, 24*time.Hour, "d", time.Hour, "h")
}

func pair(d, big time.Duration, bigUnit string, small time.Duration, smallUnit string) string {
	text := Count(int64(d/big)) + gap + bigUnit
	if rest := d % big / small; rest > 0 {
		text += gap + Count(int64(rest)) + gap + smallUnit
	}
	return text
}

// Ago formats how long ago something was, in whole seconds and up.
func Ago(d time.Duration) string {
	if d < time.Second {
		return "just now"
	}
	return Duration(d.Truncate(time.Second)) + " ago"
}

// Rate formats events per second.
func Rate(perSecond float64) string {
	switch {
	case math.IsNaN(perSecond) || perSecond < 0:
		return None
	case perSecond == 0:
		return "0"
	case perSecond < 0.05:
		return "< 0.1"
	case perSecond < 99.95:
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	}
	return Count(int64(math.Round(perSecond)))
}

// Factor formats a speed-up: "52x", "8.3x".
func Factor(f float64, ok bool) string {
	switch {
	case !ok || math.IsNaN(f) || math.IsInf(f, 0) || f <= 0:
		return None
	case f < 9.95:
		return strconv.FormatFloat(f, 'f', 1, 64) + "x"
	}
	return Count(int64(math.Round(f))) + "x"
}

// Bytes formats a size in binary units.
func Bytes(n int64) string {
	if n < 0 {
		return None
	}
	if n < 1024 {
		return Count(n) + gap + "B"
	}
	value, unit := float64(n)/1024, 0
	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB"}
	for value >= 1023.95 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + gap + units[unit]
}

// Clock formats a moment as seen from another: the time of day, with the date
// in front of it unless both are on the same day.
func Clock(t, now time.Time) string {
	if t.IsZero() {
		return None
	}
	y1, m1, d1 := t.Date()
	y2, m2, d2 := now.In(t.Location()).Date()
	if y1 == y2 && m1 == m2 && d1 == d2 {
		return t.Format("15:04")
	}
	return t.Format("2 Jan 15:04")
}
