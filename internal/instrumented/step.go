package instrumented

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

var (
	errNoCache = errors.New("no Redis is configured")
	errOpen    = errors.New("Redis is not answering, the breaker is open")
	errBudget  = errors.New("the request's Redis budget is used up")
)

// step runs one exchange with Redis on the request's budget and tells the
// breaker how it went.
func (c *Cache) step(ctx context.Context, exchange func(context.Context) error) error {
	if c.redis == nil {
		return errNoCache
	}
	if !c.breaker.TryAcquirePermit() {
		return errOpen
	}
	r := requestFrom(ctx)
	left := r.begin(c.Budget())
	defer r.end()
	if left <= 0 {
		return errBudget
	}
	limited, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	err := exchange(limited)
	c.judge(ctx, err)
	return err
}

// judge tells the breaker how an exchange on the caller's context went.
func (c *Cache) judge(ctx context.Context, err error) {
	switch {
	case err == nil:
		c.breaker.RecordSuccess()
	case ctx.Err() != nil:
		// The caller gave up; that says nothing about Redis.
	case answered(err):
		c.breaker.RecordSuccess()
	default:
		c.lastFailure.Store(&stepFailure{err})
		c.breaker.RecordFailure()
	}
}

// stepFailure is why an exchange failed, for the log.
type stepFailure struct{ error }

// answered reports whether an error is a reply of a working server.
func answered(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	for _, unfit := range []string{"LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "NOAUTH", "WRONGPASS", "NOPERM", "OOM", "MISCONF"} {
		if redis.HasErrorPrefix(err, unfit) {
			return false
		}
	}
	return true
}

// failureOf turns an error of a step into the outcome of a lookup.
func failureOf(err error) outcome {
	switch {
	case errors.Is(err, errOpen):
		return errorOpen
	case errors.Is(err, errBudget), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return errorTimeout
	default:
		return errorUnavailable
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// later runs work that nobody waits for, on a context that keeps the caller's
// trace, has a Redis budget of its own and ends with the cache.
func (c *Cache) later(ctx context.Context, work func(context.Context)) {
	c.closing.RLock()
	defer c.closing.RUnlock()
	if c.life.Err() != nil {
		return
	}
	c.background.Go(func() {
		detached := context.WithValue(c.unhurried(context.WithoutCancel(ctx)), background{}, true)
		// It needs a place of its own: that of the load it comes from is given back.
		detached = context.WithValue(detached, nested{}, nil)
		ctx, cancel := context.WithCancel(detached)
		defer cancel()
		defer context.AfterFunc(c.life, cancel)()
		defer func() {
			if p := recover(); p != nil {
				c.logger.Error("work in the background panicked", "panic", p)
			}
		}()
		work(ctx)
	})
}

func orDefault[T comparable](value, otherwise T) T {
	if value == *new(T) {
		return otherwise
	}
	return value
}
