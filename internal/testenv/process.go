package testenv

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Command is a program to start. Path alone will do.
type Command struct {
	Path string
	Args []string
	// Env is added to a small environment of PATH, HOME and TMPDIR. Nothing else
	// is inherited: a REDIS_URL of the developer's own must not reach a test.
	Env []string
	// Dir is the working directory and HOME; a new empty one when it is "".
	Dir string
}

// Process is a child process whose output is kept. Its methods that fail the
// test have to be called from the test's own goroutine.
type Process struct {
	tb     testing.TB
	child  *child
	output *output
}

// Start starts a program; see Command.Start.
func Start(tb testing.TB, path string, args ...string) *Process {
	tb.Helper()
	return Command{Path: path, Args: args}.Start(tb)
}

// Start starts the program. When the test ends, so does the process (SIGTERM,
// after 5 s SIGKILL); its output is logged if the test failed, and data races
// that it reported fail the test.
func (c Command) Start(tb testing.TB) *Process {
	tb.Helper()
	if c.Dir == "" {
		c.Dir = tb.TempDir()
	}
	out, stdout, stderr := newOutput()
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir = c.Dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "TMPDIR=" + os.TempDir()}, c.Env...)
	cmd.Stdout, cmd.Stderr = stdout, stderr

	child, err := launch(cmd, syscall.SIGKILL)
	if err != nil {
		tb.Fatal("testenv: ", err)
	}
	go func() {
		<-child.exited
		out.end()
	}()
	p := &Process{tb: tb, child: child, output: out}
	tb.Cleanup(p.finish)
	return p
}

func (p *Process) finish() {
	p.child.stop(syscall.SIGTERM, 5*time.Second)
	text := p.Output()
	if strings.Contains(text, "WARNING: DATA RACE") {
		p.tb.Errorf("%s reported a data race", p.child.cmd.Path)
	}
	if p.tb.Failed() {
		p.tb.Logf("output of %s:\n%s", strings.Join(p.child.cmd.Args, " "), text)
	}
}

// WaitLine waits for a line of output, on stdout or stderr, printed before or
// after the call, that matches the regular expression, and returns the match
// and its groups. It fails the test when there is none in time or the process
// ends without it.
func (p *Process) WaitLine(timeout time.Duration, expr string) []string {
	p.tb.Helper()
	re, err := regexp.Compile(expr)
	if err != nil {
		p.tb.Fatal("testenv: ", err)
	}
	late := time.NewTimer(timeout)
	defer late.Stop()
	for seen := 0; ; {
		lines, ended, more := p.output.from(seen)
		for _, line := range lines {
			if match := re.FindStringSubmatch(line); match != nil {
				return match
			}
		}
		seen += len(lines)
		if ended {
			p.tb.Fatalf("testenv: %s ended without a line that matches %q", p.child.cmd.Path, expr)
			return nil
		}
		select {
		case <-more:
		case <-late.C:
			p.tb.Fatalf("testenv: %s printed no line that matches %q within %v", p.child.cmd.Path, expr, timeout)
			return nil
		}
	}
}

// Output returns what was printed so far, stdout and stderr interleaved by line.
func (p *Process) Output() string { return p.output.String() }

// Stdout returns what was printed so far on stdout alone.
func (p *Process) Stdout() string {
	p.output.mu.Lock()
	defer p.output.mu.Unlock()
	return p.output.stdout.String()
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.child.cmd.Process.Pid }

// Signal sends a signal.
func (p *Process) Signal(sig os.Signal) {
	p.tb.Helper()
	if err := p.child.signal(sig); err != nil {
		p.tb.Fatal("testenv: ", err)
	}
}

// Wait waits for the process to end by itself and returns its exit code, -1
// if a signal ended it. It fails the test after the timeout.
func (p *Process) Wait(timeout time.Duration) int {
	p.tb.Helper()
	select {
	case <-p.child.exited:
	case <-time.After(timeout):
		p.tb.Fatalf("testenv: %s is still running after %v", p.child.cmd.Path, timeout)
	}
	return p.child.cmd.ProcessState.ExitCode()
}

// Stop sends a signal, then waits like Wait.
func (p *Process) Stop(sig os.Signal, timeout time.Duration) int {
	p.tb.Helper()
	p.Signal(sig)
	return p.Wait(timeout)
}
