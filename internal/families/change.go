package families

import "time"

// Entity is a kind of row whose change can outdate cached values.
type Entity string

// The entities that ogcache's origin knows.
const (
	User         Entity = "user"
	Conversation Entity = "conversation"
	Menu         Entity = "menu"
	Session      Entity = "session"
)

// entities are all of them.
var entities = []Entity{User, Conversation, Menu, Session}

// Change says which rows were written, with both the old and the new value of
// every id that moved.
type Change struct {
	Entity Entity `json:"entity"`
	// All says that every row of the entity may have changed: a table was
	// truncated. Families says what that outdates, Keys does not.
	All             bool     `json:"all,omitempty"`
	UserIDs         []string `json:"user_ids,omitempty"`
	TelegramIDs     []string `json:"telegram_ids,omitempty"`
	ConversationIDs []string `json:"conversation_ids,omitempty"`
	TokenDigests    []string `json:"token_digests,omitempty"`
	// Transaction is the database transaction that recorded the change in the
	// outbox, 0 where none did.
	Transaction uint64 `json:"-"`
}

// Keys returns every key that the change outdates, in all families. Ids that
// cannot be part of a key are left out: nothing can be cached under them.
func (c Change) Keys() []Key {
	var keys []Key
	for _, f := range table {
		for _, id := range f.stale(c) {
			if k, err := f.Key(id); err == nil {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// Families returns the families that a change of the entity can outdate, in the
// order of the table.
func (c Change) Families() []*Family {
	some := []string{"1"}
	any := Change{Entity: c.Entity, UserIDs: some, TelegramIDs: some, ConversationIDs: some, TokenDigests: some}
	var outdated []*Family
	for _, f := range table {
		if len(f.stale(any)) > 0 {
			outdated = append(outdated, f)
		}
	}
	return outdated
}

// Changeable returns the families that some change can outdate, in the order of
// the table.
func Changeable() []*Family {
	outdated := make(map[*Family]bool)
	for _, e := range entities {
		for _, f := range (Change{Entity: e}).Families() {
			outdated[f] = true
		}
	}
	var changeable []*Family
	for _, f := range table {
		if outdated[f] {
			changeable = append(changeable, f)
		}
	}
	return changeable
}

// LongestLifetime returns how long after it was stored a value that some change
// can outdate may still be in Redis: the longest TTL with its StaleFor.
func LongestLifetime() time.Duration {
	var longest time.Duration
	for _, f := range Changeable() {
		longest = max(longest, f.TTL+f.StaleFor)
	}
	return longest
}

func on(e Entity, ids func(Change) []string) func(Change) []string {
	return func(c Change) []string {
		if c.Entity != e {
			return nil
		}
		return ids(c)
	}
}
