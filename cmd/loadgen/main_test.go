package main

import (
	"bufio"
	"encoding/json"
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
func startDemo(t *testing.T) (url, tokens string) {
	t.Helper()
	tokens = filepath.Join(t.TempDir(), "tokens")
	p := testenv.Start(t, testenv.Build(t, "./cmd/dashboard"),
		"demo", "--addr", "127.0.0.1:0", "--traffic", "off", "--network", "none", "--tokens", tokens)
	return p.WaitLine(30*time.Second, `ogcache demo on (http://\S+) `)[1], tokens
}

// loadgen runs the load generator to its end and returns what it printed.
func loadgen(t *testing.T, code int, args ...string) string {
	t.Helper()
	p := testenv.Start(t, testenv.Build(t, "./cmd/loadgen"), args...)
	if got := p.Wait(4 * time.Minute); got != code {
		t.Fatalf("loadgen %q ended with %d, want %d:\n%s", args, got, code, p.Output())
	}
	return p.Output()
}

func readSummary(t *testing.T, path string) ogcache.Summary {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s ogcache.Summary
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// lookupsOf reads the server's own counts, by family and result.
func lookupsOf(t *testing.T, url string) map[[2]string]int64 {
	t.Helper()
	answer, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	line := regexp.MustCompile(`^ogcache_lookups_total\{family="(\w+)",reason="\w*",result="(\w+)"\} (\S+)$`)
	counts := make(map[[2]string]int64)
	scanner := bufio.NewScanner(answer.Body)
	for scanner.Scan() {
		if m := line.FindStringSubmatch(scanner.Text()); m != nil {
			n, err := strconv.ParseFloat(m[3], 64)
			if err != nil {
				t.Fatal(err)
			}
			counts[[2]string{m[1], m[2]}] += int64(n)
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return counts
}

func TestCountsAgreeWithTheServersExactly(t *testing.T) {
	url, tokens := startDemo(t)
	for _, mode := range []string{"cached", "both"} {
		t.Run(mode, func(t *testing.T) {
			before := lookupsOf(t, url)
			path := filepath.Join(t.TempDir(), "summary.json")
			loadgen(t, exitOK, "run", "mix", "--target", url, "--tokens", tokens, "--iterations", "3000", "--vus", "10",
				"--mode", mode, "--json", path)
			s := readSummary(t, path)
			counted := make(map[[2]string]int64)
			var operations int64
			for _, l := range s.Lookups {
				counted[[2]string{l.Family, l.Result}] += l.Count
			}
			for _, o := range s.Operations {
				operations += o.Count
			}
			if operations != 3000 || len(s.Errors) != 0 {
				t.Errorf("%d operations and errors %v, want 3000 and none", operations, s.Errors)
			}
			for key, n := range lookupsOf(t, url) {
				if n -= before[key]; n != counted[key] {
					t.Errorf("%v: the server counted %d, the load generator %d", key, n, counted[key])
				}
			}
		})
	}
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
	p.WaitLine(time.Minute, `running .*[1-9] complete`)
	if code := p.Stop(os.Interrupt, time.Minute); code != exitInterrupted {
		t.Errorf("Ctrl-C ended it with %d, want 130", code)
	}
	if !strings.Contains(p.Output(), "hit ratio") {
		t.Errorf("what was measured until then is not printed:\n%s", p.Output())
	}
}
