// Package families is the one table of what ogcache caches: each key family's
// name, key, lifetime and sensitivity, and which changes make its entries
// stale. Labels, dashboard rows, TTL policy, clear rules and invalidation all
// derive from it. It imports nothing but the standard library.
package families

import (
	"strings"
	"time"
)

// Family describes one kind of cached value.
type Family struct {
	// Name is the metric label, unique, in snake case.
	Name string
	// Title is what people call the value ("Profile").
	Title string
	// Prefix is the literal start of every key of the family.
	Prefix string
	// Single is the whole id of a family that has exactly one key.
	Single string
	// TTL is the longest logical lifetime of an entry. The client shortens it
	// by jitter, never lengthens it.
	TTL time.Duration
	// StaleFor is how long past its logical lifetime an entry stays in Redis,
	// to be served while the origin is down. Always 0 for sessions.
	StaleFor time.Duration
	// Version is raised when the meaning of stored values changes while their
	// type does not; entries of another version are misses.
	Version int
	// Public says that keys and values may be shown, logged and traced.
	// Everything else is about a person.
	Public bool
	// Keep exempts the family from "clear everything"; only its own prefix or
	// name clears it.
	Keep bool
	// stale returns the ids of this family's entries that a change outdates.
	stale func(Change) []string
}

// Entry lifetimes follow the guide's table (R1 of the mission).
var (
	AuthToken = &Family{
		Name: "auth_token", Title: "Session", Prefix: "auth:token:", TTL: time.Hour,
		stale: on(Session, func(c Change) []string { return c.TokenDigests }),
	}
	UserProfile = &Family{
		Name: "user_profile", Title: "Profile", Prefix: "user:profile:", TTL: 5 * time.Minute,
		stale: on(User, func(c Change) []string { return c.UserIDs }),
	}
	UserTelegram = &Family{
		Name: "user_telegram", Title: "Telegram profile", Prefix: "user:telegram:", TTL: 5 * time.Minute,
		stale: on(User, func(c Change) []string { return c.TelegramIDs }),
	}
	ConversationByID = &Family{
		Name: "conversation", Title: "Conversation", Prefix: "conversation:", TTL: 10 * time.Minute,
		stale: on(Conversation, func(c Change) []string { return c.ConversationIDs }),
	}
	ConversationList = &Family{
		Name: "conversation_list", Title: "Conversation list", Prefix: "conversations:user:", TTL: 10 * time.Minute,
		stale: on(Conversation, func(c Change) []string { return c.UserIDs }),
	}
	MenuItems = &Family{
		Name: "menu_items", Title: "Menu", Prefix: "menu:", Single: "items", TTL: 30 * time.Minute, Public: true,
		stale: on(Menu, func(Change) []string { return []string{"items"} }),
	}
	AgentContext = &Family{
		Name: "agent_context", Title: "Agent context", Prefix: "agent:context:", TTL: 5 * time.Minute,
		stale: func(c Change) []string {
			if c.Entity == User || c.Entity == Conversation {
				return c.UserIDs
			}
			return nil
		},
	}
	Analytics = &Family{
		Name: "analytics", Title: "Analytics", Prefix: "analytics:", TTL: 24 * time.Hour, Public: true, Keep: true,
		stale: func(Change) []string { return nil },
	}
)

// Other is the label of keys and families that are not in the table.
const Other = "other"

var table = []*Family{
	AuthToken, UserProfile, UserTelegram, ConversationByID,
	ConversationList, MenuItems, AgentContext, Analytics,
}

// All returns the families in the order of the guide's table. The slice is the
// caller's own.
func All() []*Family { return append([]*Family(nil), table...) }

// ByName returns the family with that metric label.
func ByName(name string) (*Family, bool) {
	for _, f := range table {
		if f.Name == name {
			return f, true
		}
	}
	return nil, false
}

// Of returns the family that owns a Redis key, or false for a key that is not
// ogcache's.
func Of(key string) (*Family, bool) {
	for _, f := range table {
		if f.Owns(key) {
			return f, true
		}
	}
	return nil, false
}

// Owns reports whether a Redis key belongs to the family: it starts with the
// family's prefix and has an id (for a single-key family, that very id).
func (f *Family) Owns(key string) bool {
	id, ok := strings.CutPrefix(key, f.Prefix)
	if !ok || id == "" {
		return false
	}
	return f.Single == "" || id == f.Single
}

// String returns the metric label.
func (f *Family) String() string { return f.Name }

// MarshalText implements encoding.TextMarshaler: the metric label.
func (f *Family) MarshalText() ([]byte, error) { return []byte(f.Name), nil }
