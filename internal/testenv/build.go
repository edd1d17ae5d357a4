package testenv

import (
	"context"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

type build struct {
	once sync.Once
	path string
	err  error
}

// Build builds a command of this module with the race detector and returns the
// path of the binary, which lives as long as the test process. pkg is relative
// to the module's root ("./cmd/dashboard"). A command is built once.
func Build(tb testing.TB, pkg string) string {
	tb.Helper()
	w := workplaceOf(tb)
	w.mu.Lock()
	b, ok := w.builds[pkg]
	if !ok {
		b = &build{}
		w.builds[pkg] = b
	}
	w.mu.Unlock()

	b.once.Do(func() { b.path, b.err = w.build(pkg) })
	if b.err != nil {
		tb.Fatal("testenv: ", b.err)
	}
	return b.path
}

func (w *workplace) build(pkg string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", fmt.Errorf("building %s: %w", pkg, err)
	}
	binary := filepath.Join(w.dir, "bin", strings.ReplaceAll(strings.TrimPrefix(path.Clean(pkg), "./"), "/", "-"))
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	// Without a version stamp: git refuses to tell it to another user than the clone's owner.
	cmd := exec.CommandContext(ctx, "go", "build", "-race", "-buildvcs=false", "-o", binary, pkg)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return binary, nil
}
