package origin

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// MaxPopulation is the largest population, in users.
const MaxPopulation = 1_000_000

// Population describes made-up people: Users of them, user_1 and on. A person
// depends on Seed and their number alone, so a larger population of the same
// seed begins with the smaller one.
type Population struct {
	Users int
	Seed  uint64
}

// Validate returns an error wrapping ErrInvalid unless the population has 1 to
// MaxPopulation users.
func (p Population) Validate() error {
	if p.Users < 1 || p.Users > MaxPopulation {
		return fmt.Errorf("%w: a population has 1 to %d users, not %d", ErrInvalid, MaxPopulation, p.Users)
	}
	return nil
}

// maxConversations is how many conversations a person has at most; the mean is
// about 3.
const maxConversations = 5

// populationEpoch is when the last of the population's messages was written,
// fixed so that the same population is the same at any time. The oldest
// conversation began populationSpan before.
func populationEpoch() time.Time { return time.Date(2026, time.November, 1, 12, 0, 0, 0, time.UTC) }

const populationSpan = 6 * 7 * 24 * time.Hour

// person is one of a population, with what they have written.
type person struct {
	profile       Profile
	conversations []Conversation
}

// person returns the n-th person, n from 1.
func (p Population) person(n int) person {
	w := writer{rand.New(rand.NewPCG(p.Seed, uint64(n)))}
	id := "user_" + strconv.Itoa(n)
	who := person{profile: Profile{
		UserID: id,
		// Unique: n is told by the remainder.
		TelegramID: strconv.Itoa((100+w.IntN(800))*MaxPopulation*10 + n),
		Name:       w.pick(firstNames()) + " " + w.pick(lastNames()),
		Language:   w.pick(languages()),
		Bio:        w.bio(),
		UpdatedAt:  populationEpoch().Add(-w.duration(populationSpan)),
	}}
	for k := range 1 + w.IntN(maxConversations) {
		who.conversations = append(who.conversations, w.conversation(id, k+1))
	}
	return who
}

func (w writer) conversation(userID string, k int) Conversation {
	dish := w.pick(dishes())
	c := Conversation{
		ID:     "conv_" + userID[len("user_"):] + "_" + strconv.Itoa(k),
		UserID: userID,
		Title:  w.fill(w.pick(titles()), dish),
	}
	turns := 3 + w.IntN(5)
	// A turn takes two steps of at most stepMax, so none ends after the epoch.
	const stepMax = 3 * time.Minute
	at := populationEpoch().Add(-2*time.Duration(turns)*stepMax - w.duration(populationSpan))
	say := func(role, text string) {
		at = at.Add(time.Second + w.duration(stepMax-time.Second))
		c.Messages = append(c.Messages, Message{
			ID: "msg" + c.ID[len("conv"):] + "_" + strconv.Itoa(len(c.Messages)+1), Role: role, Text: text, CreatedAt: at,
		})
	}
	for range turns {
		say("user", w.fill(w.pick(questions()), dish))
		say("assistant", w.fill(w.sentences(answers(), 2+w.IntN(4)), dish))
	}
	c.UpdatedAt = at
	return c
}
