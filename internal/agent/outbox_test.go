package agent_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/origin"
)

// journal is an auth service outside the store that remembers in which order
// what happened.
type journal struct {
	*origin.Memory
	events    []string
	recording error // of RecordRevocation
	revoking  error // of Revoke
}

func (j *journal) RecordRevocation(_ context.Context, digest string) (families.Change, error) {
	j.events = append(j.events, "record")
	return families.Change{Entity: families.Session, TokenDigests: []string{digest}, Transaction: 7}, j.recording
}

func (j *journal) Revoke(ctx context.Context, token string) error {
	j.events = append(j.events, "revoke")
	if j.revoking != nil {
		return j.revoking
	}
	return j.Memory.Revoke(ctx, token)
}

func (j *journal) delivered(c families.Change) {
	j.events = append(j.events, "delivered "+string(c.Entity))
}

func openJournal(t *testing.T) (*agent.Agent, *journal, *miniredis.Miniredis) {
	t.Helper()
	server := miniredis.RunT(t)
	client, err := instrumented.NewRedis(instrumented.RedisOptions{Addrs: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := instrumented.New(instrumented.Options{Redis: client, Budget: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cache.Close()
		client.Close()
	})
	j := &journal{Memory: origin.NewMemory(origin.Population{Users: 2, Seed: 1})}
	return agent.New(cache, j, j, agent.Options{Revocations: j, Delivered: j.delivered}), j, server
}

func (j *journal) happened(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(j.events, want) {
		t.Errorf("happened %q, want %q", j.events, want)
	}
	j.events = nil
}

func TestWritesReportWhatTheyDropped(t *testing.T) {
	a, j, server := openJournal(t)
	u := j.Identities()[0]
	name := "x"
	write := func() error {
		_, err1 := a.UpdateProfile(t.Context(), u.UserID, origin.ProfilePatch{Name: &name})
		_, err2 := a.AddMessage(t.Context(), u.UserID, u.Conversations[0], "hi")
		return errors.Join(err1, err2)
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	j.happened(t, "delivered user", "delivered conversation")
	server.SetError("LOADING")
	if err := write(); err != nil {
		t.Fatal(err)
	}
	j.happened(t) // what was not dropped is not reported
}

func TestLogoutIsRecordedBeforeTheAuthServiceIsAsked(t *testing.T) {
	a, j, _ := openJournal(t)
	token := j.Identities()[0].Token
	if err := a.Logout(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	j.happened(t, "record", "revoke", "delivered session")

	// Whether the session has ended is not known: its entry stays to be dropped.
	j.revoking = errors.New("the auth service timed out")
	if err := a.Logout(t.Context(), token); !errors.Is(err, j.revoking) {
		t.Errorf("error is %v", err)
	}
	j.happened(t, "record", "revoke")

	j.recording = errors.New("the database is away")
	if err := a.Logout(t.Context(), token); !errors.Is(err, j.recording) {
		t.Errorf("error is %v", err)
	}
	j.happened(t, "record")
}
