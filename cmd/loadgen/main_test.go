package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/testenv"
	ogcache "github.com/oglab/ogcache/xk6-ogcache"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// startDemo starts a quiet demo and returns its address and its users' tokens.
func startDemo(tb testing.TB) (url, tokens string) {
	tb.Helper()
	tokens = filepath.Join(tb.TempDir(), "tokens")
	p := testenv.Start(tb, testenv.Build(tb, "./cmd/dashboard"),
		"demo", "--addr", "127.0.0.1:0", "--traffic", "off", "--network", "none", "--tokens", tokens)
	return p.WaitLine(30*time.Second, `ogcache demo on (http://\S+) `)[1], tokens
}

// loadgen runs the load generator to its end and returns what it printed.
func loadgen(tb testing.TB, code int, args ...string) string {
	tb.Helper()
	p := testenv.Start(tb, testenv.Build(tb, "./cmd/loadgen"), args...)
	if got := p.Wait(4 * time.Minute); got != code {
		tb.Fatalf("loadgen %q ended with %d, want %d:\n%s", args, got, code, p.Output())
	}
	return p.Output()
}

func readSummary(tb testing.TB, path string) ogcache.Summary {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var s ogcache.Summary
	if err := json.Unmarshal(text, &s); err != nil {
		tb.Fatal(err)
	}
	return s
}

// lookupsOf reads the server's own counts, by family and result.
func lookupsOf(tb testing.TB, url string) map[[2]string]int64 {
	tb.Helper()
	answer, err := http.Get(url + "/metrics")
	if err != nil {
		tb.Fatal(err)
	}
	defer answer.Body.Close()
	line := regexp.MustCompile(`^ogcache_lookups_total\{family="(\w+)",reason="\w*",result="(\w+)"\} (\S+)$`)
	counts := make(map[[2]string]int64)
	scanner := bufio.NewScanner(answer.Body)
	for scanner.Scan() {
		if m := line.FindStringSubmatch(scanner.Text()); m != nil {
			n, err := strconv.ParseFloat(m[3], 64)
			if err != nil {
				tb.Fatal(err)
			}
			counts[[2]string{m[1], m[2]}] += int64(n)
		}
	}
	if err := scanner.Err(); err != nil {
		tb.Fatal(err)
	}
	return counts
}

func TestCountsAgreeWithTheServersExactly(t *testing.T) {
	url, tokens := startDemo(t)
	for _, mode := range []string{"cached", "both"} {
		t.Run(mode, func(t *testing.T) { compareCounts(t, url, tokens, mode, 3000) })
	}
}

// BenchmarkCounts is the same comparison at full size; run it with -benchtime
// 1x. differences are lookups that one side counted and the other did not.
func BenchmarkCounts(b *testing.B) {
	for b.Loop() {
		url, tokens := startDemo(b)
		lookups, differences := compareCounts(b, url, tokens, "cached", 100_000)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(100_000, "operations")
		b.ReportMetric(float64(lookups), "lookups")
		b.ReportMetric(float64(differences), "differences")
	}
}

// compareCounts runs the mix and compares what the load generator counted with
// the server's metrics and, for hits and misses, with its page.
func compareCounts(tb testing.TB, url, tokens, mode string, iterations int64) (lookups, differences int64) {
	tb.Helper()
	before, pageBefore := lookupsOf(tb, url), figuresOf(tb, url)
	path := filepath.Join(tb.TempDir(), "summary.json")
	loadgen(tb, exitOK, "run", "mix", "--target", url, "--tokens", tokens, "--vus", "10",
		"--iterations", strconv.FormatInt(iterations, 10), "--mode", mode, "--json", path)
	s := readSummary(tb, path)
	counted, byResult := make(map[[2]string]int64), make(map[string]int64)
	for _, l := range s.Lookups {
		counted[[2]string{l.Family, l.Result}] += l.Count
		byResult[l.Result] += l.Count
		lookups += l.Count
	}
	var operations int64
	for _, o := range s.Operations {
		operations += o.Count
	}
	if operations != iterations || len(s.Errors) != 0 {
		tb.Errorf("%d operations and errors %v, want %d and none", operations, s.Errors, iterations)
	}
	for key, n := range lookupsOf(tb, url) {
		if n -= before[key]; n != counted[key] {
			tb.Errorf("%v: the server counted %d, the load generator %d", key, n, counted[key])
			differences += max(n-counted[key], counted[key]-n)
		}
	}
	// The page is measured once a second.
	deadline := time.Now().Add(10 * time.Second)
	for {
		page := figuresOf(tb, url)
		hits, misses := page["hits"]-pageBefore["hits"], page["misses"]-pageBefore["misses"]
		if hits == byResult["hit"] && misses == byResult["miss"] {
			return lookups, differences
		}
		if time.Now().After(deadline) {
			tb.Errorf("the page counted %d hits and %d misses, the load generator %d and %d", hits, misses, byResult["hit"], byResult["miss"])
			return lookups, differences
		}
	}
}

// figuresOf reads the large numbers of the page.
func figuresOf(tb testing.TB, url string) map[string]int64 {
	tb.Helper()
	answer, err := http.Get(url + "/")
	if err != nil {
		tb.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		tb.Fatal(err)
	}
	figures := make(map[string]int64)
	for _, m := range regexp.MustCompile(`data-figure="(hits|misses)"[^>]*>([\d,]+)<`).FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.ParseInt(strings.ReplaceAll(m[2], ",", ""), 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		figures[m[1]] = n
	}
	if len(figures) != 2 {
		tb.Fatalf("the page shows only %v", figures)
	}
	return figures
}

func TestInProcessOnRealServers(t *testing.T) {
	redis := testenv.Redis(t)
	env := []string{"REDIS_URL=redis://" + redis.Addr, "DATABASE_URL=" + testenv.Postgres(t)}
	tokens := filepath.Join(t.TempDir(), "tokens")
	seed := testenv.Command{Path: testenv.Build(t, "./cmd/dashboard"), Env: env,
		Args: []string{"seed", "--users", "100", "--tokens", tokens}}.Start(t)
	if code := seed.Wait(time.Minute); code != 0 {
		t.Fatalf("seeding ended with %d:\n%s", code, seed.Output())
	}
	path := filepath.Join(t.TempDir(), "summary.json")
	out := loadgen(t, exitOK, "run", "mix", "--redis", strings.TrimPrefix(env[0], "REDIS_URL="),
		"--database", strings.TrimPrefix(env[1], "DATABASE_URL="), "--tokens", tokens, "--iterations", "1000", "--json", path)
	if !strings.Contains(out, "hit ratio") || !strings.Contains(out, "no operation failed") {
		t.Errorf("it prints\n%s", out)
	}
	if s := readSummary(t, path); len(s.Operations) < 10 {
		t.Errorf("only %d rows of operations", len(s.Operations))
	}
}

func TestSmokeExampleNeedsNothing(t *testing.T) {
	script, err := filepath.Abs("../../examples/smoke.js")
	if err != nil {
		t.Fatal(err)
	}
	loadgen(t, exitOK, "run", script)
}

func TestEveryScriptRuns(t *testing.T) {
	url, tokens := startDemo(t)
	for _, script := range []string{"auth", "profile", "conversation", "menu", "api"} {
		out := loadgen(t, exitOK, "run", script, "--target", url, "--tokens", tokens, "--rate", "50", "--duration", "1s")
		if !strings.Contains(out, "no operation failed") {
			t.Errorf("%s prints\n%s", script, out)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	url, tokens := startDemo(t)
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("not a token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitUsage, "Usage: loadgen"},
		{[]string{"--help"}, exitOK, "Exit codes"},
		{[]string{"run", "--help"}, exitOK, "-read-share"},
		{[]string{"run", "--list"}, exitOK, "conversation"},
		{[]string{"version"}, exitOK, "k6"},
		{[]string{"fly"}, exitUsage, "unknown command"},
		{[]string{"run"}, exitUsage, "--list"},
		{[]string{"run", "profil", "--target", url, "--tokens", tokens}, exitUsage, "did you mean profile"},
		{[]string{"run", "mix"}, exitUsage, "no target"},
		{[]string{"run", "mix", "--target", url}, exitUsage, "--tokens"},
		{[]string{"run", "mix", "--target", url, "--redis", "redis://x"}, exitUsage, "not both"},
		{[]string{"run", "mix", "--redis", "redis://x"}, exitUsage, "belong together"},
		{[]string{"run", "mix", "--target", url, "--tokens", tokens, "--vus", "-1"}, exitUsage, "positive"},
		{[]string{"run", "mix", "--target", url, "--tokens", tokens, "--alpha", "9"}, exitUsage, "alpha"},
		{[]string{"run", "mix", "--target", url, "--tokens", tokens, "--mode", "x"}, exitUsage, "--mode"},
		{[]string{"run", "mix", "--target", url, "--tokens", "/nonexistent"}, exitFailed, "/nonexistent"},
		{[]string{"run", "mix", "--target", url, "--tokens", broken}, exitFailed, "line 1"},
		{[]string{"run", "menu", "--target", "http://127.0.0.1:1"}, exitFailed, "does not answer"},
	} {
		out := loadgen(t, test.code, test.args...)
		if !strings.Contains(out, test.says) {
			t.Errorf("loadgen %q does not say %q:\n%s", test.args, test.says, out)
		}
		if test.code == exitUsage && len(test.args) > 0 && strings.Count(strings.TrimSpace(out), "\n") != 0 {
			t.Errorf("loadgen %q says more than a line:\n%s", test.args, out)
		}
	}
}

func TestCrossedThresholdIsPassedOn(t *testing.T) {
	url, _ := startDemo(t)
	script := filepath.Join(t.TempDir(), "strict.js")
	if err := os.WriteFile(script, []byte(`
import { Client } from "k6/x/ogcache";
export const options = { iterations: 3, thresholds: { ogcache_operation_duration: ["max<0.000001"] } };
const client = new Client({ operation: "menu" });
export default async function () { await client.menu(); }
`), 0o600); err != nil {
		t.Fatal(err)
	}
	loadgen(t, exitThreshold, "run", script, "--target", url)
}

func TestInterruptedRunSaysSo(t *testing.T) {
	url, tokens := startDemo(t)
	p := testenv.Start(t, testenv.Build(t, "./cmd/loadgen"), "run", "mix", "--target", url, "--tokens", tokens, "--rate", "20", "--duration", "5m")
	p.WaitLine(time.Minute, `running .*, [1-9]\d* complete`)
	if code := p.Stop(os.Interrupt, time.Minute); code != exitInterrupted {
		t.Errorf("Ctrl-C ended it with %d, want 130", code)
	}
	if !strings.Contains(p.Output(), "hit ratio") {
		t.Errorf("what was measured until then is not printed:\n%s", p.Output())
	}
}
