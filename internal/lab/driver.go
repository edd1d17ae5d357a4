package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/origin"
	"github.com/oglab/ogcache/internal/scenarios"
)

// Driver carries out the traffic's events on the application, in process.
type Driver struct {
	Agent      *agent.Agent
	Cache      *instrumented.Cache
	Identities []origin.Identity
}

// Outcome is how one event ended.
type Outcome struct {
	Status   int // what the HTTP API would answer
	Duration time.Duration
	Lookups  []instrumented.Lookup
}

// absent is an id that no user, conversation or Telegram account has.
const absent = "absent"

// Do carries out one event. An event for an absent id that is answered "not
// found" is a success with Status 404. An error means that the operation
// failed.
func (d *Driver) Do(ctx context.Context, e scenarios.Event, bypass bool) (Outcome, error) {
	if len(d.Identities) == 0 {
		return Outcome{}, errors.New("no identities to make traffic with")
	}
	who := d.Identities[e.User%len(d.Identities)]
	ctx, request := d.Cache.Start(ctx, string(e.Operation), bypass)
	start := time.Now()
	err := d.do(ctx, e, who)
	o := Outcome{Status: http.StatusOK, Duration: time.Since(start)}
	request.End(ctx)
	o.Lookups = request.Lookups()
	switch {
	case errors.Is(err, origin.ErrNotFound) && e.Absent:
		o.Status, err = http.StatusNotFound, nil
	case err != nil:
		o.Status = http.StatusInternalServerError
	}
	return o, err
}

func (d *Driver) do(ctx context.Context, e scenarios.Event, who origin.Identity) error {
	switch e.Operation {
	case scenarios.Menu:
		_, err := d.Agent.Menu(ctx)
		return err
	case scenarios.API:
		_, err := d.Agent.Bootstrap(ctx, who.Token)
		return err
	}
	session, err := d.Agent.Session(ctx, who.Token)
	if err != nil {
		return err
	}
	conversation, telegram := absent, absent
	if !e.Absent {
		telegram = who.TelegramID
		if len(who.Conversations) > 0 {
			conversation = who.Conversations[e.Conversation%len(who.Conversations)]
		}
	}
	switch e.Operation {
	case scenarios.Auth:
	case scenarios.Profile:
		_, err = d.Agent.Profile(ctx, session.UserID)
	case scenarios.Conversation:
		_, err = d.Agent.Conversation(ctx, session.UserID, conversation)
	case scenarios.Conversations:
		_, err = d.Agent.Conversations(ctx, session.UserID)
	case scenarios.Telegram:
		_, err = d.Agent.ProfileByTelegram(ctx, telegram)
	case scenarios.Context:
		_, err = d.Agent.Context(ctx, session.UserID)
	case scenarios.AddMessage:
		_, err = d.Agent.AddMessage(ctx, session.UserID, conversation, fmt.Sprintf("What about event %d?", e.Index))
	case scenarios.UpdateProfile:
		bio := fmt.Sprintf("Changed by event %d.", e.Index)
		_, err = d.Agent.UpdateProfile(ctx, session.UserID, origin.ProfilePatch{Bio: &bio})
	default:
		err = fmt.Errorf("unknown operation %q", e.Operation)
	}
	return err
}
