package main

import (
	"os"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := run([]string{"testdata/rounds.txt"}, nil, &out); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/table.md")
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

const (
	ours = "BenchmarkBatchHit/impl=ogcache-2 10 %s ns/op\n"
	mget = "BenchmarkBatchHit/impl=mget-2 10 200 ns/op\n"
)

// alike is a peer that adds nothing to what ogcache adds something to.
const alike = `BenchmarkInstrumentedHit/impl=bare-2 10 100 ns/op 5 allocs/op
BenchmarkInstrumentedHit/impl=redisotel-2 10 100 ns/op 5 allocs/op
BenchmarkInstrumentedHit/impl=ogcache-2 10 150 ns/op 5 allocs/op
`

func batch(ns string) string { return strings.Replace(ours, "%s", ns, 1) }

func TestVerdict(t *testing.T) {
	for name, test := range map[string]struct{ measured, line string }{
		"at the target":   {batch("260") + mget, "1.30x | ≤ 1.30x | yes |"},
		"above it":        {batch("262") + mget, "1.31x | ≤ 1.30x | no |"},
		"few rounds":      {batch("200") + mget, "| 1.00x | ≤"},
		"peer unmeasured": {batch("200"), "| batch of 100 hits | ogcache | – | mget | – | – | ≤ 1.30x | not measured |"},
		"pairs rounds":    {batch("100") + batch("400") + batch("220") + mget + mget + mget, "1.10x | ≤ 1.30x | yes |"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := run(nil, strings.NewReader(test.measured), &out); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), test.line) {
				t.Errorf("no %q in\n%s", test.line, out.String())
			}
		})
	}
}

func TestUnusableResults(t *testing.T) {
	for name, test := range map[string]struct{ measured, problem string }{
		"nothing":     {"PASS\n", "no results"},
		"damaged":     {"BenchmarkBatchHit/impl=ogcache-2 10 fast ns/op\n", "parsing"},
		"cut short":   {batch("100") + batch("100") + mget, "cut short"},
		"no quotient": {alike, "cannot be compared"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := run(nil, strings.NewReader(test.measured), &out)
			if err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("got %v, want an error that says %q", err, test.problem)
			}
		})
	}
	if err := run([]string{"testdata/absent.txt"}, nil, new(strings.Builder)); err == nil {
		t.Error("a file that is not there was read")
	}
}
