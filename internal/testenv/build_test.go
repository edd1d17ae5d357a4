package testenv

import (
	"os"
	"strings"
	"testing"
)

func TestBuild(t *testing.T) {
	t.Parallel()
	path := Build(t, "./internal/testenv/testdata/hello")
	if again := Build(t, "./internal/testenv/testdata/hello"); again != path {
		t.Errorf("built a second time as %s, first as %s", again, path)
	}
	if info, err := os.Stat(path); err != nil || info.Mode()&0o100 == 0 {
		t.Fatalf("%s: %v, want an executable", path, err)
	}
	p := Start(t, path)
	if got := p.Wait(long); got != 0 || p.Stdout() != "hello, race detector\n" {
		t.Errorf("got exit code %d, output %q", got, p.Output())
	}
}

func TestBuildSaysWhy(t *testing.T) {
	t.Parallel()
	got := record(t, func(tb testing.TB) { Build(tb, "./internal/testenv/testdata/nothing") })
	if len(got) != 1 || !strings.Contains(got[0], "building ./internal/testenv/testdata/nothing") {
		t.Errorf("got %q, want one failure that names the package", got)
	}
}
