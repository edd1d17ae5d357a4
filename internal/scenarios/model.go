package scenarios

import (
	"math"
	"math/rand/v2"
	"sort"
)

// Model draws the events of one traffic. It is immutable and safe for
// concurrent use.
type Model struct {
	params Params
	users  []float64 // cumulative popularity by rank
	reads  []weighted
	writes []weighted
}

// NewModel returns the model of valid parameters.
func NewModel(p Params) (*Model, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	m := &Model{params: p, users: zipf(p.Users, p.Alpha)}
	for _, o := range mix {
		if o.writes {
			m.writes = append(m.writes, o)
		} else {
			m.reads = append(m.reads, o)
		}
	}
	return m, nil
}

// Params returns what the model was made from.
func (m *Model) Params() Params { return m.params }

// zipf returns the cumulative distribution of ranks 0 to n-1, where rank k is
// drawn in proportion to 1/(k+1)^alpha.
func zipf(n int, alpha float64) []float64 {
	cumulative := make([]float64, n)
	sum := 0.0
	for k := range cumulative {
		sum += math.Pow(float64(k+1), -alpha)
		cumulative[k] = sum
	}
	for k := range cumulative {
		cumulative[k] /= sum
	}
	return cumulative
}

// maxConversations is the range of Event.Conversation.
const maxConversations = 64

// Event returns event i. It depends on nothing but the parameters and i.
func (m *Model) Event(i uint64) Event {
	var source rand.PCG
	source.Seed(mixed(m.params.Seed, 1), mixed(i, 2))
	draw := func() float64 { return float64(source.Uint64()>>11) / (1 << 53) }
	// One draw for each property, used or not, so that a parameter changes only
	// what it is about.
	kind, which, user, conversation, absent := draw(), draw(), draw(), draw(), draw()
	e := Event{Index: i, Operation: m.params.Operation}
	if e.Operation == "" {
		from := m.writes
		if kind < m.params.ReadShare {
			from = m.reads
		}
		e.Operation = pick(from, which)
	}
	e.User = min(sort.SearchFloat64s(m.users, user), len(m.users)-1)
	e.Conversation = int(conversation * maxConversations)
	e.Absent = (e.Operation == Conversation || e.Operation == Telegram) && absent < m.params.AbsentShare
	return e
}

// Coin returns a number in [0, 1) that belongs to event i and is independent
// of everything else about it.
func (m *Model) Coin(i uint64) float64 {
	var source rand.PCG
	source.Seed(mixed(m.params.Seed, 3), mixed(i, 4))
	return float64(source.Uint64()>>11) / (1 << 53)
}

// mixed spreads a number over 64 bits (the finalizer of SplitMix64, Steele et
// al., OOPSLA 2014), differently for each salt.
func mixed(x, salt uint64) uint64 {
	x += salt * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
