package testenv

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

const long = 30 * time.Second

func TestProcessWaitLine(t *testing.T) {
	t.Parallel()
	p := Start(t, "/bin/sh", "-c", `echo starting; echo "listening on 127.0.0.1:$PORT" >&2; read never`)
	if got := p.Wait(long); got != 1 {
		t.Errorf("exit code %d, want 1: stdin is empty", got)
	}
	if got := p.WaitLine(long, `listening on (\S+):(\d*)`); len(got) != 3 || got[1] != "127.0.0.1" || got[2] != "" {
		t.Errorf("got %q, want the address and no port", got)
	}
	if got, want := p.Stdout(), "starting\n"; got != want {
		t.Errorf("Stdout() = %q, want %q", got, want)
	}
	if !strings.Contains(p.Output(), "listening") {
		t.Errorf("Output() = %q lacks stderr", p.Output())
	}
}

func TestProcessWaitLineGivesUp(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ script, want string }{
		"ended": {"echo no", "ended without a line"},
		"late":  {"echo no; exec sleep 600", "printed no line"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := record(t, func(tb testing.TB) {
				Start(tb, "/bin/sh", "-c", tt.script).WaitLine(time.Second, "yes")
			})
			if len(got) != 1 || !strings.Contains(got[0], tt.want) {
				t.Errorf("got %q, want one failure with %q", got, tt.want)
			}
		})
	}
}

func TestProcessStop(t *testing.T) {
	t.Parallel()
	p := Start(t, "/bin/sh", "-c", `trap 'exit 7' INT; echo ready; while :; do sleep 0.01; done`)
	p.WaitLine(long, "ready")
	if got := p.Stop(os.Interrupt, long); got != 7 {
		t.Errorf("exit code %d, want 7", got)
	}
	killed := Start(t, "/bin/sleep", "600")
	if got := killed.Stop(syscall.SIGKILL, long); got != -1 {
		t.Errorf("exit code after SIGKILL %d, want -1", got)
	}
}

func TestProcessEnvironment(t *testing.T) {
	t.Setenv("REDIS_URL", "redis://the-developers-own")
	dir := t.TempDir()
	p := Command{Path: "/usr/bin/env", Env: []string{"OWN=1"}, Dir: dir}.Start(t)
	if got := p.Wait(long); got != 0 {
		t.Fatalf("exit code %d", got)
	}
	p.WaitLine(long, "^OWN=1$")
	p.WaitLine(long, "^HOME="+dir+"$")
	if strings.Contains(p.Output(), "REDIS_URL") {
		t.Error("the process inherited REDIS_URL")
	}
}

func TestProcessReportsDataRaces(t *testing.T) {
	t.Parallel()
	got := record(t, func(tb testing.TB) { Start(tb, "/bin/echo", "WARNING: DATA RACE").Wait(long) })
	if len(got) != 1 || !strings.Contains(got[0], "data race") {
		t.Errorf("got %q, want one failure about a data race", got)
	}
}
