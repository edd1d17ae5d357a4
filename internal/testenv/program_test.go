package testenv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	debian := t.TempDir()
	install := func(path string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	p := program{title: "the server", names: []string{"ogcache-first", "ogcache-second"}, apt: "the-package",
		glob: filepath.Join(debian, "*", "bin", "serverd")}
	path := t.TempDir()
	t.Setenv("PATH", path)

	if _, err := p.find(); err == nil || !strings.Contains(err.Error(), "install --no-install-recommends the-package") {
		t.Errorf("nothing installed: got %v, want an error with the apt command", err)
	}
	check := func(want string) {
		t.Helper()
		if got, err := p.find(); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	nine := install(filepath.Join(debian, "9.6", "bin", "serverd"))
	check(nine)
	fifteen := install(filepath.Join(debian, "15", "bin", "serverd"))
	check(fifteen)
	second := install(filepath.Join(path, "ogcache-second"))
	check(second)
	first := install(filepath.Join(path, "ogcache-first"))
	check(first)
}
