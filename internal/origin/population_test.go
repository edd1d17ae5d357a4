package origin

import (
	"encoding/json"
	"errors"
	"hash/fnv"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

func jsonLen(tb testing.TB, v any) int {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return len(b)
}

// TestPopulation checks the population of the demo.
func TestPopulation(t *testing.T) {
	population := Population{Users: 2000, Seed: 1}
	earliest := populationEpoch().Add(-populationSpan - time.Hour)
	inSpan := func(what string, at time.Time) {
		if at.Before(earliest) || at.After(populationEpoch()) || at.Nanosecond()%1000 != 0 {
			t.Errorf("%s at %v", what, at)
		}
	}
	ids := map[string]bool{}
	unique := func(id string) {
		if ids[id] || families.CheckID(id) != nil {
			t.Errorf("%q is taken or no valid id", id)
		}
		ids[id] = true
	}
	conversations, profileBytes, conversationBytes := 0, 0, 0
	for n := 1; n <= population.Users; n++ {
		who := population.person(n)
		p := who.profile
		unique(p.UserID)
		unique(p.TelegramID)
		if strings.Trim(p.TelegramID, "0123456789") != "" {
			t.Errorf("telegram id %q has more than digits", p.TelegramID)
		}
		if err := (ProfilePatch{TelegramID: &p.TelegramID, Name: &p.Name, Language: &p.Language, Bio: &p.Bio}).Validate(); err != nil {
			t.Error(err)
		}
		inSpan("profile", p.UpdatedAt)
		size := jsonLen(t, p)
		if size < 180 || size > 420 {
			t.Errorf("a profile of %d bytes: %+v", size, p)
		}
		profileBytes += size
		if k := len(who.conversations); k < 1 || k > maxConversations {
			t.Errorf("%d conversations", k)
		}
		conversations += len(who.conversations)
		for _, c := range who.conversations {
			unique(c.ID)
			if c.UserID != p.UserID || c.Title == "" || len(c.Messages) > MaxMessages {
				t.Errorf("conversation %+v", c)
			}
			size := jsonLen(t, c)
			if size < 1000 || size > 6<<10 {
				t.Errorf("a conversation of %d bytes", size)
			}
			conversationBytes += size
			last := time.Time{}
			for i, m := range c.Messages {
				unique(m.ID)
				inSpan("message", m.CreatedAt)
				if !m.CreatedAt.After(last) || (m.Role == "user") != (i%2 == 0) || strings.Contains(m.Text, "{") {
					t.Errorf("message %d: %+v", i, m)
				}
				if err := checkNewMessage(c.ID, p.UserID, m.Role, m.Text); err != nil {
					t.Error(err)
				}
				last = m.CreatedAt
			}
			if !c.UpdatedAt.Equal(last) {
				t.Errorf("conversation of %v, its last message of %v", c.UpdatedAt, last)
			}
		}
	}
	if mean := float64(conversations) / float64(population.Users); mean < 2.8 || mean > 3.2 {
		t.Errorf("%.2f conversations per user", mean)
	}
	if keys := 5*population.Users + conversations + 1; keys >= 20_000 {
		t.Errorf("%d keys", keys)
	}
	t.Logf("profiles of %d bytes and conversations of %d bytes on average",
		profileBytes/population.Users, conversationBytes/conversations)
}

func TestPopulationIsDeterministic(t *testing.T) {
	small, large := Population{Users: 10, Seed: 3}, Population{Users: 1000, Seed: 3}
	other := Population{Users: 10, Seed: 4}
	hash := fnv.New64a()
	for n := 1; n <= small.Users; n++ {
		who := small.person(n)
		if !reflect.DeepEqual(who, large.person(n)) {
			t.Errorf("person %d depends on how many there are", n)
		}
		if reflect.DeepEqual(who, other.person(n)) {
			t.Errorf("person %d does not depend on the seed", n)
		}
		b, err := json.Marshal(who.conversations)
		if err != nil {
			t.Fatal(err)
		}
		hash.Write(b)
		hash.Write([]byte(who.profile.TelegramID + who.profile.Name + who.profile.Bio))
	}
	// Changes with the words and the order of the draws only: then a database that
	// was seeded before no longer matches.
	const want = 0x70af569c64986f7
	if got := hash.Sum64(); got != want {
		t.Errorf("the population has the hash %#x, want %#x", got, uint64(want))
	}
}

func TestPopulationValidate(t *testing.T) {
	for users, ok := range map[int]bool{-1: false, 0: false, 1: true, MaxPopulation: true, MaxPopulation + 1: false} {
		if err := (Population{Users: users}).Validate(); (err == nil) != ok || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%d users: %v", users, err)
		}
	}
	largest, first := Population{Seed: 1}.person(MaxPopulation).profile, Population{Seed: 1}.person(1).profile
	if len(largest.TelegramID) != len(first.TelegramID) {
		t.Errorf("telegram ids %s and %s", first.TelegramID, largest.TelegramID)
	}
}

func TestMenu(t *testing.T) {
	items := populationMenu()
	if len(items) != 40 {
		t.Errorf("%d items", len(items))
	}
	ids, names, categories := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, item := range items {
		if ids[item.ID] || names[item.Name] || item.PriceCents <= 0 || item.Description == "" {
			t.Errorf("%+v", item)
		}
		ids[item.ID], names[item.Name], categories[item.Category] = true, true, true
	}
	if len(categories) < 4 {
		t.Errorf("%d categories", len(categories))
	}
}

func BenchmarkPerson(b *testing.B) {
	p := Population{Seed: 1}
	for n := 1; b.Loop(); n++ {
		p.person(n)
	}
}
