package views

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestFormats(t *testing.T) {
	start := time.Date(2026, 3, 4, 14, 3, 9, 0, time.UTC)
	for _, c := range []struct{ name, got, want string }{
		{"count zero", Count(0), "0"},
		{"count three digits", Count(999), "999"},
		{"count thousands", Count(1204), "1,204"},
		{"count millions", Count(uint64(1234567)), "1,234,567"},
		{"count negative", Count(-1204), "-1,204"},
		{"count negative three digits", Count(-999), "-999"},
		{"plural one", Plural(1, "key", "keys"), "1 key"},
		{"plural none", Plural(0, "key", "keys"), "0 keys"},
		{"plural many", Plural(int64(1204), "key", "keys"), "1,204 keys"},

		{"percent none", Percent(0.5, false), None},
		{"percent not a number", Percent(math.NaN(), true), None},
		{"percent zero", Percent(0, true), "0 %"},
		{"percent all", Percent(1, true), "100 %"},
		{"percent almost all", Percent(0.99999, true), "> 99.9 %"},
		{"percent almost none", Percent(0.0001, true), "< 0.1 %"},
		{"percent", Percent(0.9712, true), "97.1 %"},

		{"seconds none", Seconds(1, false), None},
		{"seconds zero", Seconds(0, true), "0 ms"},
		{"microseconds", Seconds(0.00084, true), "840 µs"},
		{"small microseconds", Seconds(0.00000123, true), "1.23 µs"},
		{"microseconds that round to a millisecond", Seconds(0.0009996, true), "1 ms"},
		{"milliseconds", Seconds(0.002413, true), "2.41 ms"},
		{"tens of milliseconds", Seconds(0.0524, true), "52.4 ms"},
		{"hundreds of milliseconds", Seconds(0.1523, true), "152 ms"},
		{"milliseconds that round to a second", Seconds(0.99999, true), "1 s"},
		{"seconds", Seconds(1.3, true), "1.3 s"},
		{"minutes", Seconds(300, true), "5 min"},

		{"duration", Duration(1500 * time.Microsecond), "1.5 ms"},
		{"duration minute", Duration(time.Minute), "1 min"},
		{"duration seconds", Duration(90 * time.Second), "90 s"},
		{"duration minutes and seconds", Duration(125 * time.Second), "2 min 5 s"},
		{"duration hour", Duration(time.Hour), "1 h"},
		{"duration hours", Duration(90 * time.Minute), "1 h 30 min"},
		{"duration day", Duration(24 * time.Hour), "24 h"},
		{"duration days", Duration(52 * time.Hour), "2 d 4 h"},
		{"duration negative", Duration(-1), None},
		{"ago now", Ago(300 * time.Millisecond), "just now"},
		{"ago", Ago(3900 * time.Millisecond), "3 s ago"},
		{"ago future", Ago(-time.Second), "just now"},

		{"rate zero", Rate(0), "0"},
		{"rate tiny", Rate(0.01), "< 0.1"},
		{"rate", Rate(12.34), "12.3"},
		{"rate large", Rate(1234.5), "1,235"},
		{"factor none", Factor(3, false), None},
		{"factor infinite", Factor(math.Inf(1), true), None},
		{"factor small", Factor(8.34, true), "8.3x"},
		{"factor edge", Factor(9.96, true), "10x"},
		{"factor", Factor(51.7, true), "52x"},
		{"bytes", Bytes(12), "12 B"},
		{"kibibytes", Bytes(1536), "1.5 KiB"},
		{"just below a mebibyte", Bytes(1<<20 - 1), "1.0 MiB"},
		{"mebibytes", Bytes(5 << 20), "5.0 MiB"},
		{"bytes negative", Bytes(-1), None},

		{"clock never", Clock(time.Time{}, start), None},
		{"clock today", Clock(start, start.Add(time.Hour)), "14:03"},
		{"clock another day", Clock(start, start.Add(24*time.Hour)), "4 Mar 14:03"},
	} {
		if got := strings.ReplaceAll(c.got, gap, " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
