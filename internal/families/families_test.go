package families_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

func TestLifetimesAreTheGuides(t *testing.T) {
	want := map[string]time.Duration{
		"auth_token": time.Hour, "user_profile": 5 * time.Minute, "user_telegram": 5 * time.Minute,
		"conversation": 10 * time.Minute, "conversation_list": 10 * time.Minute, "menu_items": 30 * time.Minute,
		"agent_context": 5 * time.Minute, "analytics": 24 * time.Hour,
	}
	prefixes := make(map[string]bool)
	for _, f := range families.All() {
		if f.TTL != want[f.Name] {
			t.Errorf("%s lives %v, want %v", f, f.TTL, want[f.Name])
		}
		delete(want, f.Name)
		if prefixes[f.Prefix] {
			t.Errorf("the prefix %q is taken twice", f.Prefix)
		}
		prefixes[f.Prefix] = true
		if same, ok := families.ByName(f.Name); !ok || same != f {
			t.Errorf("%s is not found by its name", f)
		}
	}
	if len(want) > 0 {
		t.Errorf("not in the table: %v", want)
	}
	if families.AuthToken.StaleFor != 0 {
		t.Error("sessions may be served stale")
	}
}

func TestKeys(t *testing.T) {
	for _, test := range []struct {
		family *families.Family
		id     string
		key    string // "": refused
	}{
		{families.UserProfile, "user_123", "user:profile:user_123"},
		{families.ConversationList, "a.b@c-d_E", "conversations:user:a.b@c-d_E"},
		{families.UserProfile, strings.Repeat("x", 128), "user:profile:" + strings.Repeat("x", 128)},
		{families.UserProfile, strings.Repeat("x", 129), ""},
		{families.UserProfile, "", ""},
		{families.UserProfile, "a:b", ""},
		{families.UserProfile, "a b", ""},
		{families.UserProfile, "é", ""},
		{families.UserProfile, "a\x00", ""},
		{families.MenuItems, "items", "menu:items"},
		{families.MenuItems, "other", ""},
	} {
		k, err := test.family.Key(test.id)
		switch {
		case test.key == "" && !errors.Is(err, families.ErrInvalidID):
			t.Errorf("%s %.20q: %v, want ErrInvalidID", test.family, test.id, err)
		case test.key != "" && (err != nil || k.String() != test.key || k.Family() != test.family || k.ID() != test.id):
			t.Errorf("%s %.20q: %q, %v; want %q", test.family, test.id, k, err, test.key)
		}
	}
}

func FuzzKey(f *testing.F) {
	f.Add("user_1")
	f.Add("a:b*")
	f.Fuzz(func(t *testing.T, id string) {
		const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-"
		want := len(id) >= 1 && len(id) <= 128
		for i := range len(id) {
			want = want && strings.IndexByte(alphabet, id[i]) >= 0
		}
		k, err := families.UserProfile.Key(id)
		if (err == nil) != want {
			t.Fatalf("id %q: %v, want accepted: %v", id, err, want)
		}
		if err != nil && len(id) > 3 && strings.Contains(err.Error(), id) {
			t.Errorf("the error repeats the id %q", id)
		}
		if owner, ok := families.Of(k.String()); want && (!ok || owner != families.UserProfile) {
			t.Errorf("the key %q belongs to %v", k, owner)
		}
	})
}

func TestOwners(t *testing.T) {
	for key, want := range map[string]*families.Family{
		"conversation:c1": families.ConversationByID, "conversations:user:u1": families.ConversationList,
		"menu:items": families.MenuItems, "menu:itemsx": nil, "menu:": nil, "conversation:": nil,
		"analytics:a:b": families.Analytics, "user:session:x": nil, "": nil,
	} {
		if got, ok := families.Of(key); got != want || ok != (want != nil) {
			t.Errorf("%q belongs to %v, want %v", key, got, want)
		}
	}
}

func TestPrefixes(t *testing.T) {
	for prefix, want := range map[string][]*families.Family{
		"user:profile:":   {families.UserProfile},
		"user:profile:u1": {families.UserProfile},
		"user:":           {families.UserProfile, families.UserTelegram},
		"conversation:":   {families.ConversationByID},
		"menu:":           {families.MenuItems},
		"menu:items":      {families.MenuItems},
		"analytics:":      {families.Analytics},
		"":                nil, "u": nil, "user": nil, "menu:other": nil, "conv": nil, ":": nil, "*": nil,
	} {
		got, err := families.ByPrefix(prefix)
		if !slices.Equal(got, want) || errors.Is(err, families.ErrUnknownPrefix) != (want == nil) {
			t.Errorf("%q: %v, %v; want %v", prefix, got, err, want)
		}
	}
}

func TestEveryDerivedKeyIsOutdated(t *testing.T) {
	for name, test := range map[string]struct {
		change families.Change
		want   []string
	}{
		"a profile whose Telegram id moved": {
			families.Change{Entity: families.User, UserIDs: []string{"u"}, TelegramIDs: []string{"1", "2"}},
			[]string{"user:profile:u", "user:telegram:1", "user:telegram:2", "agent:context:u"},
		},
		"a message": {
			families.Change{Entity: families.Conversation, UserIDs: []string{"u"}, ConversationIDs: []string{"c"}},
			[]string{"conversation:c", "conversations:user:u", "agent:context:u"},
		},
		"the menu":   {families.Change{Entity: families.Menu}, []string{"menu:items"}},
		"a logout":   {families.Change{Entity: families.Session, TokenDigests: []string{"d"}}, []string{"auth:token:d"}},
		"no such id": {families.Change{Entity: families.User, UserIDs: []string{"a:b"}}, nil},
	} {
		var got []string
		for _, k := range test.change.Keys() {
			got = append(got, k.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s outdates %v, want %v", name, got, test.want)
		}
	}
}

func TestFamiliesThatAChangeCanOutdate(t *testing.T) {
	for entity, want := range map[families.Entity][]*families.Family{
		families.User:         {families.UserProfile, families.UserTelegram, families.AgentContext},
		families.Conversation: {families.ConversationByID, families.ConversationList, families.AgentContext},
		families.Menu:         {families.MenuItems},
		families.Session:      {families.AuthToken},
		"other":               nil,
	} {
		if got := (families.Change{Entity: entity, All: true}).Families(); !slices.Equal(got, want) {
			t.Errorf("a change of every %s can outdate %v, want %v", entity, got, want)
		}
	}
	all := families.All()
	if got := families.Changeable(); !slices.Equal(got, all[:len(all)-1]) || all[len(all)-1] != families.Analytics {
		t.Errorf("changes can outdate %v, want all but analytics", got)
	}
	if got := families.LongestLifetime(); got != time.Hour {
		t.Errorf("the longest lifetime is %v, want a session's hour: nothing outdates analytics", got)
	}
}

func TestDigestIsOfTheWholeToken(t *testing.T) {
	start := strings.Repeat("x", 50)
	a, b := families.TokenDigest(start+"a"), families.TokenDigest(start+"b")
	if a == b {
		t.Error("two tokens that share 50 characters have one digest")
	}
	if _, err := families.AuthToken.Key(a); err != nil {
		t.Errorf("a digest is no id: %v", err)
	}
}
