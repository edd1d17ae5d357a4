package testenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// orphanVar makes this test binary start one child of that kind, print the
// process ids of all its descendants and wait to be killed.
const orphanVar = "OGCACHE_TESTENV_CHILD"

// immortal is a testing.TB for a process that never gets to clean up.
type immortal struct{ testing.TB }

func (immortal) Helper()                  {}
func (immortal) Cleanup(func())           {}
func (immortal) Context() context.Context { return context.Background() }
func (immortal) Fatal(args ...any)        { fmt.Println(args...); os.Exit(1) }
func (immortal) Fatalf(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
	os.Exit(1)
}
func (immortal) TempDir() string {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return dir
}

func haveChild(kind string) int {
	tb := immortal{}
	switch kind {
	case "redis":
		Redis(tb).Pause()
	case "sentinel":
		RedisSentinel(tb, "")
	case "postgres":
		shared = &workplace{dir: os.TempDir()}
		Postgres(tb)
	case "chromium":
		Chromium(tb)
	case "process":
		Start(tb, "/bin/sleep", "600")
	}
	fmt.Println("descendants:", strings.Trim(fmt.Sprint(descendants(os.Getpid())), "[]"))
	select {}
}

func TestChildrenDieWithTheTestProcess(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for kind, atLeast := range map[string]int{"redis": 1, "sentinel": 6, "postgres": 3, "chromium": 3, "process": 1} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			// Not t.TempDir: PostgreSQL's account has to reach what lies in there,
			// and the path of Chromium's socket must not get too long.
			tmp, err := os.MkdirTemp("", "ogcache-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := removeAll(tmp); err != nil {
					t.Error(err)
				}
			})
			if err := os.Chmod(tmp, 0o711); err != nil {
				t.Fatal(err)
			}
			p := Command{Path: self, Env: []string{orphanVar + "=" + kind, "TMPDIR=" + tmp}}.Start(t)
			var pids []int
			for _, field := range strings.Fields(p.WaitLine(2*time.Minute, "^descendants:(.*)$")[1]) {
				pid, err := strconv.Atoi(field)
				if err != nil {
					t.Fatal(err)
				}
				pids = append(pids, pid)
			}
			if len(pids) < atLeast {
				t.Fatalf("got descendants %v, want at least %d", pids, atLeast)
			}
			p.Stop(syscall.SIGKILL, long)
			waitGone(t, pids)
		})
	}
}

// waitGone fails the test when one of the processes is still there after 20 s.
func waitGone(t *testing.T, pids []int) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		var left []string
		for _, pid := range pids {
			if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(status), ") Z ") {
				left = append(left, string(status))
			}
		}
		if len(left) == 0 {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("still running after the test process was killed:\n%s", strings.Join(left, ""))
		case <-tick.C:
		}
	}
}

// descendants returns the processes below pid.
func descendants(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		var child, parent int
		var state string
		text := string(b)
		end := strings.LastIndex(text, ")") // of the name, which may hold anything
		if _, err := fmt.Sscan(text, &child); err != nil || end < 0 {
			continue
		}
		if _, err := fmt.Sscan(text[end+1:], &state, &parent); err == nil {
			children[parent] = append(children[parent], child)
		}
	}
	var all []int
	for next := children[pid]; len(next) > 0; next = next[1:] {
		all = append(all, next[0])
		next = append(next, children[next[0]]...)
	}
	return all
}
