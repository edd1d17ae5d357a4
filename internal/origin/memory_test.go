package origin

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryWithoutUsers(t *testing.T) {
	m := NewMemory(Population{})
	if ids := m.Identities(); len(ids) != 0 {
		t.Errorf("%d identities", len(ids))
	}
	if items, err := m.Menu(t.Context()); err != nil || len(items) == 0 {
		t.Errorf("%d items, %v", len(items), err)
	}
	if users, err := m.RecentUsers(t.Context(), 5); err != nil || len(users) != 0 {
		t.Errorf("%v, %v", users, err)
	}
}

func TestMemoryIdentitiesAreCopies(t *testing.T) {
	m := NewMemory(Population{Users: 2, Seed: 1})
	ids := m.Identities()
	token, conversation := ids[0].Token, ids[0].Conversations[0]
	ids[0].Token, ids[0].Conversations[0] = "x", "x"
	ids = m.Identities()
	if ids[0].Token != token || ids[0].Conversations[0] != conversation {
		t.Error("a caller changed the identities of all")
	}
	list, err := m.Conversations(t.Context(), ids[0].UserID)
	if err != nil || list[len(list)-1].ID == "x" {
		t.Errorf("%+v, %v", list, err)
	}
	if other := NewMemory(Population{Users: 2, Seed: 1}).Identities(); other[0].Token == token {
		t.Error("two origins have the same tokens")
	}
}

func TestMemorySessionsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(Population{Users: 1, Seed: 1})
		token := m.Identities()[0].Token
		time.Sleep(tokenLifetime - time.Second)
		if _, err := m.Session(t.Context(), token); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if _, err := m.Session(t.Context(), token); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("error is %v", err)
		}
	})
}

func BenchmarkNewMemory(b *testing.B) {
	for b.Loop() {
		NewMemory(Population{Users: 2000, Seed: 1})
	}
}
