package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// child is a started program. It dies with the test process.
type child struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed once the program has ended and been reaped
}

// launch starts cmd. Should the test process end first, in whatever way, the
// kernel sends deathSignal to the child.
func launch(cmd *exec.Cmd, deathSignal syscall.Signal) (*child, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = deathSignal
	// A grandchild that keeps the output open must not keep Wait from returning.
	cmd.WaitDelay = 2 * time.Second

	c := &child{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the signal when the thread ends that started the
		// child, so this thread has to live as long as the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the outcome stays in cmd.ProcessState
			close(c.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	return c, nil
}

func (c *child) signal(sig os.Signal) error {
	if err := c.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("sending %v to %s (process %d): %w", sig, c.cmd.Path, c.cmd.Process.Pid, err)
	}
	return nil
}

// stop sends sig and, if the child is still there after grace, SIGKILL. It
// returns once the child is gone and reports whether sig was enough.
func (c *child) stop(sig os.Signal, grace time.Duration) bool {
	// A child that has ended already cannot be signalled, and need not be.
	_ = c.cmd.Process.Signal(sig)
	select {
	case <-c.exited:
		return true
	case <-time.After(grace):
		_ = c.cmd.Process.Kill()
		<-c.exited
		return false
	}
}

// state returns the state letter of the process as in /proc/PID/stat ("T" is
// stopped).
func (c *child) state() (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return "", err
	}
	// The name in parentheses before the state can hold anything but is the last to be closed.
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == ')' && i+2 < len(b) {
			return string(b[i+2]), nil
		}
	}
	return "", fmt.Errorf("unexpected format %q", b)
}

var errExited = errors.New("it ended")

// ready asks check again and again until it returns nil. It fails when the
// child ends (errExited) or ctx does; the error names the last refusal.
func (c *child) ready(ctx context.Context, check func(context.Context) error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.exited:
			return errExited
		case <-ctx.Done():
			return fmt.Errorf("%w; last refusal: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
