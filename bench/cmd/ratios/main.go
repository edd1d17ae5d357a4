// Command ratios reads what the benchmarks printed, from files or standard
// input, and prints how ogcache's client compares with its peers and with what
// was set out to be reached, as a table in Markdown:
//
//	go run ./cmd/ratios rounds.txt
//
// It compares round by round, as the implementations alternate, and gives the
// median of the rounds with its 95 % interval, which takes six of them. A
// target that is not reached is a figure, not a failure.
package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/perf/benchfmt"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ratios:", err)
		os.Exit(1)
	}
}

func run(paths []string, stdin io.Reader, stdout io.Writer) error {
	measured := make(results)
	if len(paths) == 0 {
		if err := measured.read(stdin, "standard input"); err != nil {
			return err
		}
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = measured.read(f, path)
		f.Close()
		if err != nil {
			return err
		}
	}
	if len(measured) == 0 {
		return fmt.Errorf("there are no results of benchmarks in what was read")
	}
	return write(stdout, measured, comparisons)
}

// results are the values of each benchmark and unit, in the order in which the
// rounds measured them.
type results map[series][]float64

// series names a measurement: a benchmark up to its implementation, and a unit
// of golang.org/x/perf, in which times are seconds.
type series struct{ benchmark, unit string }

func (m results) read(from io.Reader, name string) error {
	r := benchfmt.NewReader(from, name)
	for r.Scan() {
		switch rec := r.Result().(type) {
		case *benchfmt.SyntaxError:
			return rec
		case *benchfmt.Result:
			benchmark := withoutProcs(rec.Name)
			for _, v := range rec.Values {
				s := series{benchmark, v.Unit}
				m[s] = append(m[s], v.Value)
			}
		}
	}
	return r.Err()
}

// withoutProcs returns the name without the number of processors behind it.
func withoutProcs(n benchfmt.Name) string {
	base, parts := n.Parts()
	name := string(base)
	for _, p := range parts {
		if p[0] != '-' {
			name += string(p)
		}
	}
	return name
}
