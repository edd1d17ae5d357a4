package testenv

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(orphanVar); kind != "" {
		os.Exit(haveChild(kind))
	}
	os.Exit(Main(m))
}

// recorder is a testing.TB whose failures are what a test is about.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

// record runs f as a test of its own, to the end of its cleanups, and returns
// how it failed.
func record(tb testing.TB, f func(testing.TB)) []string {
	r := &recorder{TB: tb}
	run := func(f func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			f()
		}()
		<-done
	}
	run(func() { f(r) })
	for _, cleanup := range slices.Backward(r.cleanups) {
		run(cleanup)
	}
	return r.failures
}

func (r *recorder) fail(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, s)
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

func (r *recorder) Errorf(format string, args ...any) { r.fail(fmt.Sprintf(format, args...)) }
func (r *recorder) Fatalf(format string, args ...any) { r.Fatal(fmt.Sprintf(format, args...)) }
func (r *recorder) Fatal(args ...any)                 { r.fail(fmt.Sprint(args...)); runtime.Goexit() }
func (r *recorder) Cleanup(f func())                  { r.cleanups = append(r.cleanups, f) }

func TestMissingProgramNamesItsPackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	tests := map[string]struct {
		start func(testing.TB)
		want  string
	}{
		"redis":    {func(tb testing.TB) { Redis(tb) }, "apt-get install --no-install-recommends redis-server"},
		"tls":      {func(tb testing.TB) { RedisTLS(tb) }, "apt-get install --no-install-recommends redis-server"},
		"chromium": {func(tb testing.TB) { Chromium(tb) }, "apt-get install --no-install-recommends chromium"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := record(t, tt.start)
			if len(got) != 1 || !strings.HasSuffix(got[0], tt.want) {
				t.Errorf("got %q, want one failure that ends in %q", got, tt.want)
			}
		})
	}
}

func TestSharedPartsAskForMain(t *testing.T) {
	kept := shared
	shared = nil
	defer func() { shared = kept }()
	for name, use := range map[string]func(testing.TB){
		"Postgres": func(tb testing.TB) { Postgres(tb) },
		"Build":    func(tb testing.TB) { Build(tb, "./cmd/dashboard") },
	} {
		got := record(t, use)
		if len(got) != 1 || !strings.Contains(got[0], "func TestMain") {
			t.Errorf("%s without Main: got %q, want a failure that names TestMain", name, got)
		}
	}
}
