package testenv

import (
	"cmp"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// program is something that has to be installed.
type program struct {
	title string
	names []string // looked up on PATH, in this order
	glob  string   // where Debian puts it off PATH
	apt   string   // the Debian package
}

var (
	redisServer = program{title: "redis-server", names: []string{"redis-server"}, apt: "redis-server"}
	initdb      = program{
		title: "the PostgreSQL server", names: []string{"initdb"},
		glob: "/usr/lib/postgresql/*/bin/initdb", apt: "postgresql",
	}
	pgbouncer = program{
		title: "PgBouncer", names: []string{"pgbouncer"}, glob: "/usr/sbin/pgbouncer", apt: "pgbouncer",
	}
	chromium = program{
		title: "Chromium", apt: "chromium",
		names: []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"},
	}
)

// find returns the program's path; of several versions off PATH, the newest.
func (p program) find() (string, error) {
	for _, name := range p.names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	if p.glob != "" {
		if found, err := filepath.Glob(p.glob); err == nil && len(found) > 0 {
			return slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(version(a), version(b)) }), nil
		}
	}
	return "", fmt.Errorf("%s is not installed; on Debian and Ubuntu: sudo apt-get install --no-install-recommends %s", p.title, p.apt)
}

// version returns the number in .../<version>/bin/<name>, 0 if there is none.
func version(path string) float64 {
	v, err := strconv.ParseFloat(filepath.Base(filepath.Dir(filepath.Dir(path))), 64)
	if err != nil {
		return 0
	}
	return v
}

func (p program) mustFind(tb testing.TB) string {
	tb.Helper()
	path, err := p.find()
	if err != nil {
		tb.Fatal("testenv: " + err.Error())
	}
	return path
}
