package ogcache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/lab"
	"github.com/oglab/ogcache/internal/origin"
	"github.com/oglab/ogcache/internal/scenarios"
)

// outcome is how one event ended.
type outcome struct {
	status   int
	duration time.Duration // as the caller felt it
	server   time.Duration // as the server says; 0 when it does not
	lookups  []instrumented.Lookup
}

// driver carries out events. It is safe for concurrent use. An error means
// that there was no answer at all.
type driver interface {
	do(ctx context.Context, e scenarios.Event, bypass bool) (outcome, error)
}

// target is what events are sent to, opened by the first one.
type target struct {
	settings settings
	once     sync.Once
	err      error
	driver   driver
	model    *scenarios.Model
}

func (t *target) open() error {
	t.once.Do(func() { t.err = t.connect() })
	return t.err
}

func (t *target) connect() error {
	s := t.settings
	var people []origin.Identity
	if s.Tokens != "" {
		var err error
		if people, err = origin.ReadIdentities(s.Tokens); err != nil {
			return err
		}
	}
	if s.Lab {
		l, err := lab.New(lab.Options{Users: max(s.Users, 200), Seed: s.Seed})
		if err != nil {
			return err
		}
		people = l.Identities
		t.driver = inProcess{l.Driver()}
	}
	if len(people) == 0 {
		if s.Operation != string(scenarios.Menu) {
			return errors.New("no tokens: give tokens, the file that dashboard demo or seed wrote with --tokens")
		}
		people = []origin.Identity{{}} // the menu is the same for everyone
	}
	users := s.Users
	switch {
	case users == 0:
		users = len(people)
	case users > len(people):
		return fmt.Errorf("users is %d, but there are only %d tokens", users, len(people))
	}
	var err error
	if t.model, err = scenarios.NewModel(s.params(users)); err != nil {
		return err
	}
	switch {
	case s.Target != "":
		t.driver = newHTTPDriver(s.Target, people)
	case s.Redis != "":
		t.driver, err = openInProcess(s, people)
	}
	return err
}

// mode decides how event i goes: true is around the cache.
func (t *target) bypasses(i uint64) bool {
	switch t.settings.Mode {
	case modeBaseline:
		return true
	case modeBoth:
		return t.model.Coin(i) < 0.5
	default:
		return false
	}
}
