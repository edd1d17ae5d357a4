package ogcache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/js/promises"

	"github.com/oglab/ogcache/internal/scenarios"
)

// client is the object that new Client(…) makes; index.d.ts documents its
// methods.
type client struct {
	instance *instance
	target   *target
}

// Run carries out the model's event i.
func (c *client) Run(i uint64) *sobek.Promise {
	return c.start(func() (scenarios.Event, bool) { return c.target.model.Event(i), c.target.bypasses(i) })
}

// Auth looks the user's session up.
func (c *client) Auth(user int) *sobek.Promise { return c.one(scenarios.Auth, user, 0) }

// Profile reads the user's profile.
func (c *client) Profile(user int) *sobek.Promise { return c.one(scenarios.Profile, user, 0) }

// Telegram looks the user's profile up by their Telegram id.
func (c *client) Telegram(user int) *sobek.Promise { return c.one(scenarios.Telegram, user, 0) }

// Conversation reads the user's nth conversation.
func (c *client) Conversation(user, n int) *sobek.Promise {
	return c.one(scenarios.Conversation, user, n)
}

// Conversations lists the user's conversations.
func (c *client) Conversations(user int) *sobek.Promise {
	return c.one(scenarios.Conversations, user, 0)
}

// Menu reads the menu.
func (c *client) Menu() *sobek.Promise { return c.one(scenarios.Menu, 0, 0) }

// Api asks for what one start of the agent's chat needs.
func (c *client) Api(user int) *sobek.Promise { return c.one(scenarios.API, user, 0) } //nolint:revive // JavaScript's api()

// Context reads what the agent is told about the user.
func (c *client) Context(user int) *sobek.Promise { return c.one(scenarios.Context, user, 0) }

// AddMessage adds a message to the user's nth conversation.
func (c *client) AddMessage(user, n int) *sobek.Promise { return c.one(scenarios.AddMessage, user, n) }

// UpdateProfile changes the user's profile.
func (c *client) UpdateProfile(user int) *sobek.Promise {
	return c.one(scenarios.UpdateProfile, user, 0)
}

func (c *client) one(op scenarios.Operation, user, conversation int) *sobek.Promise {
	e := scenarios.Event{Operation: op, User: max(user, 0), Conversation: max(conversation, 0)}
	return c.start(func() (scenarios.Event, bool) { return e, c.target.settings.Mode == modeBaseline })
}

// start carries out an event beside the event loop. The promise is rejected
// only when the target cannot be used at all; an operation that fails resolves
// and counts as an error.
func (c *client) start(next func() (scenarios.Event, bool)) *sobek.Promise {
	vu := c.instance.vu
	promise, resolve, reject := promises.New(vu)
	state := vu.State()
	if state == nil {
		reject(errors.New("the client works in the functions that virtual users run, not in the init context"))
		return promise
	}
	ctx, tags := vu.Context(), state.Tags.GetCurrentValues().Tags
	go func() {
		if err := c.target.open(); err != nil {
			reject(fmt.Errorf("ogcache: %w", err))
			return
		}
		e, bypass := next()
		o, err := c.target.driver.do(ctx, e, bypass)
		if ctx.Err() != nil {
			reject(context.Cause(ctx)) // cut off by the end of the run: not an error of the target
			return
		}
		failed := err != nil || o.status >= http.StatusBadRequest && !(e.Absent && o.status == http.StatusNotFound)
		if err != nil {
			state.Logger.WithField("operation", string(e.Operation)).Warn("ogcache: ", err)
		}
		c.instance.metrics.push(ctx, state, tags, e.Operation, bypass, o, failed)
		resolve(result(o))
	}()
	return promise
}

// result is an outcome as scripts see it.
func result(o outcome) map[string]any {
	lookups := make([]map[string]string, len(o.lookups))
	for i, l := range o.lookups {
		lookups[i] = map[string]string{"family": l.Family.Name, "result": string(l.Result)}
	}
	return map[string]any{
		"status":   o.status,
		"duration": float64(o.duration) / float64(time.Millisecond),
		"lookups":  lookups,
	}
}
