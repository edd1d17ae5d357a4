package families

// Entity is a kind of row whose change can outdate cached values.
type Entity string

// The entities that ogcache's origin knows.
const (
	User         Entity = "user"
	Conversation Entity = "conversation"
	Menu         Entity = "menu"
	Session      Entity = "session"
)

// Change says which rows were written, with both the old and the new value of
// every id that moved.
type Change struct {
	Entity          Entity   `json:"entity"`
	UserIDs         []string `json:"user_ids,omitempty"`
	TelegramIDs     []string `json:"telegram_ids,omitempty"`
	ConversationIDs []string `json:"conversation_ids,omitempty"`
	TokenDigests    []string `json:"token_digests,omitempty"`
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

func on(e Entity, ids func(Change) []string) func(Change) []string {
	return func(c Change) []string {
		if c.Entity != e {
			return nil
		}
		return ids(c)
	}
}
