package scenarios

import "fmt"

// weighted is an operation with its weight among those of its kind.
type weighted struct {
	operation Operation
	weight    float64
	writes    bool
}

// mix is the traffic of a chat application: every start needs the API
// response, most of the rest reads conversations, and what users write is
// messages.
var mix = []weighted{
	{Auth, 10, false},
	{Profile, 15, false},
	{Conversation, 25, false},
	{Menu, 10, false},
	{API, 20, false},
	{Conversations, 10, false},
	{Telegram, 4, false},
	{Context, 6, false},
	{AddMessage, 85, true},
	{UpdateProfile, 15, true},
}

// Operations returns all operations in the order of the table.
func Operations() []Operation {
	all := make([]Operation, len(mix))
	for i, o := range mix {
		all[i] = o.operation
	}
	return all
}

// ParseOperation returns the operation of that name.
func ParseOperation(name string) (Operation, error) {
	for _, o := range mix {
		if string(o.operation) == name {
			return o.operation, nil
		}
	}
	return "", fmt.Errorf("unknown operation %q; known are %v", name, Operations())
}

// pick returns the operation at a position in [0, 1) of the weights laid end
// to end.
func pick(from []weighted, at float64) Operation {
	total := 0.0
	for _, o := range from {
		total += o.weight
	}
	at *= total
	for _, o := range from {
		if at -= o.weight; at < 0 {
			return o.operation
		}
	}
	return from[len(from)-1].operation
}
