package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/keyspace"
	"github.com/oglab/ogcache/internal/views"
)

// longestAction bounds an action, so that one that hangs does not block the
// next for ever.
const longestAction = 15 * time.Minute

// warmer is what actions ask of the application.
type warmer interface {
	Warmup(ctx context.Context, scope agent.WarmupScope, progress func(done, total int)) (agent.WarmupResult, error)
}

// clearer is what actions ask of Redis' keys.
type clearer interface {
	Count(context.Context, keyspace.Selection) (int64, error)
	Clear(ctx context.Context, s keyspace.Selection, progress func(done int64)) (int64, error)
	Latest() (keyspace.Snapshot, bool)
	Scan(context.Context) (keyspace.Snapshot, error)
}

// actions runs what an operator starts, one at a time, detached from the
// request that started it.
type actions struct {
	warm   warmer
	keys   clearer // nil without Redis
	logger *slog.Logger

	mu     sync.Mutex
	state  views.Action
	cancel context.CancelCauseFunc // of the running action
	ended  chan struct{}           // closed when it has ended
	closed bool
}

var (
	errCancelled = errors.New("cancelled")
	errStopping  = errors.New("the server is stopping")
)

// busyError refuses an action because another one runs.
type busyError struct{ running views.Action }

func (e busyError) Error() string {
	return fmt.Sprintf("“%s” is still running. One action at a time: wait for it, or cancel it.", e.running.Title)
}

func newActions(warm warmer, keys clearer, logger *slog.Logger) *actions {
	return &actions{warm: warm, keys: keys, logger: logger}
}

// current returns the running action, or else the last one.
func (a *actions) current() views.Action {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}

// task is the work of an action. It returns its outcome as a sentence whose
// subject is the title.
type task func(ctx context.Context, progress func(done, total int64)) (outcome string, err error)

// start begins an action, or returns a busyError. ctx lends its values only.
func (a *actions) start(ctx context.Context, title string, do task) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return errStopping
	case a.state.Running:
		return busyError{a.state}
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), longestAction)
	ctx, a.cancel = context.WithCancelCause(ctx)
	a.state = views.Action{Title: title, Running: true}
	a.ended = make(chan struct{})
	go func(ended chan struct{}) {
		defer stop()
		defer close(ended)
		outcome, err := attempt(ctx, do, a.progress)
		a.finish(ctx, outcome, err)
	}(a.ended)
	return nil
}

// attempt turns a panic into an error: an action has no request to fail.
func attempt(ctx context.Context, do task, progress func(done, total int64)) (outcome string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panicked: %v", p)
		}
	}()
	return do(ctx, progress)
}

func (a *actions) progress(done, total int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state.Done, a.state.Total = done, total
}

func (a *actions) finish(ctx context.Context, outcome string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cancel(nil)
	a.state.Running = false
	a.state.Ended = time.Now()
	if err == nil {
		a.state.Outcome = outcome
		return
	}
	a.state.Failed = true
	a.state.Outcome = failure(ctx, err)
	if a.state.Done > 0 {
		a.state.Outcome += fmt.Sprintf(" Until then: %s of %s.", views.Count(a.state.Done), views.Count(a.state.Total))
	}
	a.logger.ErrorContext(ctx, "action failed", "action", a.state.Title, "done", a.state.Done, "total", a.state.Total, "error", err)
}

// failure says what went wrong. What cannot be named here is left to the log:
// an error's text may contain keys.
func failure(ctx context.Context, err error) string {
	var network net.Error
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errCancelled):
		return "was cancelled."
	case errors.Is(cause, errStopping):
		return "was ended because the server stops."
	case errors.Is(err, agent.ErrCacheUnavailable):
		return "failed: Redis is not available. Reads are served from the database."
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network):
		return "failed: Redis or the database could not be reached, or did not answer in time."
	default:
		return "failed. The server’s log says why."
	}
}

// abort ends the running action, if there is one, and waits until it has.
func (a *actions) abort(ctx context.Context, cause error) {
	a.mu.Lock()
	running, ended := a.state.Running, a.ended
	if running {
		a.cancel(cause)
	}
	a.mu.Unlock()
	if !running {
		return
	}
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// close ends the running action and refuses further ones. It waits for the
// action until ctx ends.
func (a *actions) close(ctx context.Context) {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.abort(ctx, errStopping)
}

func (a *actions) warmup(scope agent.WarmupScope) task {
	return func(ctx context.Context, progress func(done, total int64)) (string, error) {
		start := time.Now()
		result, err := a.warm.Warmup(ctx, scope, func(done, total int) { progress(int64(done), int64(total)) })
		if err != nil {
			return "", err
		}
		a.rescan(ctx)
		return fmt.Sprintf("loaded %s in %s; %s cached already.",
			views.Plural(result.Loaded, "entry", "entries"), views.Seconds(time.Since(start).Seconds(), true),
			views.Plural(result.Present, "was", "were")), nil
	}
}

func (a *actions) clearing(s keyspace.Selection) task {
	return func(ctx context.Context, progress func(done, total int64)) (string, error) {
		start := time.Now()
		total, err := a.keys.Count(ctx, s)
		if err != nil {
			return "", fmt.Errorf("counting the keys: %w", err)
		}
		progress(0, total)
		removed, err := a.keys.Clear(ctx, s, func(done int64) { progress(done, max(done, total)) })
		if err != nil {
			return "", err
		}
		took := time.Since(start)
		a.rescan(ctx)
		return fmt.Sprintf("removed %s in %s.", views.Plural(removed, "key", "keys"), views.Seconds(took.Seconds(), true)), nil
	}
}

// rescan renews the key counts on the page. The next regular scan does so too,
// so a failure does not matter.
func (a *actions) rescan(ctx context.Context) {
	if a.keys != nil {
		_, _ = a.keys.Scan(ctx)
	}
}
