// Package testenv gives tests the real thing: redis-server, PostgreSQL,
// PgBouncer, Chromium and the project's own commands, as child processes that end with
// the test that started them, or at the latest with the test process, however
// that ends. Everything listens on 127.0.0.1 only. What is not installed fails
// the test and names the package that brings it.
package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// shared is what the tests of this process have in common: one PostgreSQL
// cluster and the commands built so far. It exists while Main runs.
var shared *workplace

type workplace struct {
	dir string

	clusterOnce sync.Once
	cluster     *cluster
	clusterErr  error

	mu     sync.Mutex
	builds map[string]*build
}

// Main runs the tests, then stops what they shared and removes its files. A
// package that calls Postgres or Build needs it:
//
//	func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ogcache-test-")
	if err == nil {
		// PostgreSQL may run as another user, who has to reach its own directory in here.
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testenv: making a directory for what the tests share:", err)
		return 1
	}
	shared = &workplace{dir: dir, builds: map[string]*build{}}
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "testenv: cleaning up:", err)
		code = max(code, 1)
	}
	return code
}

func (w *workplace) close() error {
	if w.cluster != nil {
		w.cluster.stop()
	}
	return os.RemoveAll(w.dir)
}

func workplaceOf(tb testing.TB) *workplace {
	tb.Helper()
	if shared == nil {
		tb.Fatal("testenv: this package needs func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }")
	}
	return shared
}

// moduleRoot returns the directory of go.mod, above the package under test.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = parent
	}
}
