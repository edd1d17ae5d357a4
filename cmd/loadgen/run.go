package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/oglab/ogcache/internal/scenarios"
	ogcache "github.com/oglab/ogcache/xk6-ogcache"
)

// stopGrace is how long k6 may take to end after a signal.
const stopGrace = 30 * time.Second

func run(ctx context.Context, p *program, args []string) error {
	l, err := p.parse(args)
	if err != nil {
		return err
	}
	if l.list {
		for _, s := range scenarios.Scripts() {
			fmt.Fprintf(p.stdout, "%-14s %s\n", s.Name, s.Title)
		}
		return nil
	}
	if err := l.check(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "loadgen-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	script, err := l.materialize(dir)
	if err != nil {
		return err
	}
	summary := filepath.Join(dir, "summary.json")
	failure := p.k6(ctx, l, script, summary)
	text, err := os.ReadFile(summary)
	if err != nil {
		return errors.Join(failure, errors.New("k6 ended without a summary"))
	}
	if l.json != "" {
		if err := os.WriteFile(l.json, text, 0o644); err != nil {
			return errors.Join(failure, err)
		}
	}
	var s ogcache.Summary
	if err := json.Unmarshal(text, &s); err != nil {
		return errors.Join(failure, fmt.Errorf("reading the summary: %w", err))
	}
	return errors.Join(failure, printSummary(p.stdout, s))
}

// materialize returns the script as a file, which k6 needs.
func (l plan) materialize(dir string) (string, error) {
	for _, s := range scenarios.Scripts() {
		if s.Name != l.script {
			continue
		}
		text, err := s.Source()
		if err != nil {
			return "", err
		}
		path := filepath.Join(dir, s.Name+".js")
		return path, os.WriteFile(path, text, 0o600)
	}
	return l.script, nil
}

// k6 runs this program once more, as k6, until it ends or ctx does.
func (p *program) k6(ctx context.Context, l plan, script, summary string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"run", "--out", "ogcache=" + summary, "--summary-mode", "disabled"}
	child := exec.CommandContext(ctx, self, append(append(args, l.extra...), script)...)
	child.Stdout, child.Stderr = p.stderr, p.stderr // standard output is the summary's
	child.Env = append(os.Environ(), l.environment()...)
	child.Env = append(child.Env, asK6+"=1",
		"K6_AUTO_EXTENSION_RESOLUTION=false", "K6_NO_USAGE_REPORT=true")
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGINT) }
	child.WaitDelay = stopGrace
	err = child.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case errors.As(err, &exit) && exit.ExitCode() == exitThreshold:
		return errThreshold
	case errors.As(err, &exit):
		return fmt.Errorf("k6 failed with exit code %d", exit.ExitCode())
	default:
		return err
	}
}

// printSummary prints what a run found, for people.
func printSummary(out io.Writer, s ogcache.Summary) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "operation\tmode\tresult\tcount\tp50 ms\tp95 ms\tp99 ms\t")
	for _, r := range s.Operations {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%.2f\t%.2f\t%.2f\t\n", r.Operation, r.Mode, r.Result, r.Count, r.P50, r.P95, r.P99)
	}
	fmt.Fprintln(w, "\t\t\t\t\t\t\t")
	fmt.Fprintln(w, "family\tmode\tresult\tlookups\t\t\t\t")
	var hits, answered int64
	for _, r := range s.Lookups {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t\t\t\t\n", r.Family, r.Mode, r.Result, r.Count)
		switch r.Result {
		case "hit", "near_hit":
			hits += r.Count
			answered += r.Count
		case "miss", "stale":
			answered += r.Count
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if answered > 0 {
		fmt.Fprintf(out, "hit ratio %.2f %% of %d lookups that the cache answered\n", 100*float64(hits)/float64(answered), answered)
	}
	var failed int64
	for _, r := range s.Errors {
		fmt.Fprintf(out, "%d operations failed: %s, %s\n", r.Count, r.Operation, r.Mode)
		failed += r.Count
	}
	if s.Dropped > 0 {
		fmt.Fprintf(out, "%d iterations were dropped: no virtual user was free; raise --vus or lower --rate\n", s.Dropped)
	}
	if failed == 0 {
		fmt.Fprintln(out, "no operation failed")
	}
	return nil
}
