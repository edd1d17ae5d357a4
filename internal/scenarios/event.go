// Package scenarios is the traffic model: which user does what next, and the
// k6 scripts that replay it. The demo, the load generator and the tests share
// it.
package scenarios

// Operation is one thing that a user of the application does.
type Operation string

// The operations of the model. The first five are those of the guide's table.
const (
	Auth          Operation = "auth"           // GET /api/auth/session
	Profile       Operation = "profile"        // GET /api/profile
	Conversation  Operation = "conversation"   // GET /api/conversations/{id}
	Menu          Operation = "menu"           // GET /api/menu
	API           Operation = "api"            // GET /api/bootstrap
	Conversations Operation = "conversations"  // GET /api/conversations
	Telegram      Operation = "telegram"       // GET /api/telegram/{id}
	Context       Operation = "context"        // GET /api/agent/context
	UpdateProfile Operation = "update_profile" // PATCH /api/profile
	AddMessage    Operation = "add_message"    // POST /api/conversations/{id}/messages
)

// Event is one operation of the traffic. It is a pure function of the model's
// seed and the event's number, so any number of generators that split the
// numbers among them produce the same traffic.
type Event struct {
	Index        uint64
	Operation    Operation
	User         int  // 0-based rank in popularity, an index into the identities
	Conversation int  // which of the user's conversations, modulo their number
	Absent       bool // asks for an id that does not exist
}
