package origin

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// writer makes up texts. What it writes depends on its source alone.
type writer struct{ *rand.Rand }

func (w writer) pick(from []string) string { return from[w.IntN(len(from))] }

// duration returns less than d, in whole milliseconds.
func (w writer) duration(d time.Duration) time.Duration {
	return time.Duration(w.Int64N(int64(d/time.Millisecond))) * time.Millisecond
}

// sentences joins n different sentences, or all if there are fewer.
func (w writer) sentences(from []string, n int) string {
	var chosen []string
	for _, i := range w.Perm(len(from))[:min(n, len(from))] {
		chosen = append(chosen, from[i])
	}
	return strings.Join(chosen, " ")
}

// fill replaces the blanks of a template.
func (w writer) fill(template, dish string) string {
	return strings.NewReplacer(
		"{dish}", dish,
		"{day}", w.pick(days()),
		"{time}", strconv.Itoa(11+w.IntN(10))+":"+w.pick([]string{"00", "15", "30", "45"}),
		"{people}", strconv.Itoa(2+w.IntN(7)),
		"{minutes}", strconv.Itoa(10+5*w.IntN(8)),
	).Replace(template)
}

func (w writer) bio() string { return w.sentences(bioSentences(), 2) }

func firstNames() []string {
	return []string{
		"Aino", "Amara", "Anna", "Bruno", "Carla", "Chidi", "Dana", "Elif", "Emil", "Farah", "Goran", "Hana", "Igor", "Ines",
		"Ivan", "Jonas", "Karim", "Kenji", "Lena", "Léa", "Lucía", "Marek", "Mei", "Mila", "Nadia", "Noah", "Olga", "Omar",
		"Paula", "Petra", "Rafael", "Rosa", "Sana", "Søren", "Tariq", "Tomáš", "Vera", "Yuki", "Zoë", "Zofia",
	}
}

func lastNames() []string {
	return []string{
		"Abara", "Almeida", "Bauer", "Berg", "Castillo", "Costa", "Dvořák", "Fischer", "Fontaine", "García", "Haddad", "Horvat",
		"Ito", "Ivanova", "Jansen", "Kaya", "Kim", "Kovács", "Lehtinen", "Lindqvist", "Marino", "Moreau", "Müller", "Nakamura",
		"Novak", "Okafor", "Orlova", "Petrov", "Popescu", "Rahimi", "Ribeiro", "Rossi", "Sato", "Silva", "Tanaka", "Weber",
		"Wójcik", "Yılmaz", "Zeman", "Zhang",
	}
}

// languages repeats the common ones.
func languages() []string {
	return []string{"en", "en", "en", "en", "ru", "ru", "de", "es", "fr", "pt-BR", "tr", "ja"}
}

func days() []string {
	return []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "today", "tomorrow"}
}

func bioSentences() []string {
	return []string{
		"Orders lunch for a small office most days of the week.",
		"Vegetarian at home, less strict when travelling.",
		"Comes for the coffee and stays for the quiet table by the window.",
		"Allergic to peanuts, so please mention them every time.",
		"Usually books for the whole family on Sunday evenings.",
		"Learning to cook and asks a lot of questions about spices.",
		"Prefers deliveries to the back entrance because the bell is broken.",
		"Works late shifts and writes mostly after nine in the evening.",
		"Collects recipes from every city they have lived in.",
		"Likes short answers and exact prices.",
		"Trains for a marathon and counts carbohydrates carefully.",
		"Has a sweet tooth and makes no secret of it.",
	}
}

func titles() []string {
	return []string{
		"A table for {people} on {day}", "Questions about {dish}", "Delivery on {day} at {time}", "What goes with {dish}",
		"Lunch for the office", "Allergens in {dish}", "Changing my order", "Birthday dinner for {people}", "Is {dish} spicy?",
		"Late order on {day}",
	}
}

func questions() []string {
	return []string{
		"Hi! Do you still have {dish} on {day}?",
		"Could I get {dish} without onions, please?",
		"We are {people} people and would like to come on {day} at {time}. Is there a table?",
		"How long does a delivery take right now?",
		"What would you recommend to drink with {dish}?",
		"Is there anything in {dish} that someone with a nut allergy should avoid?",
		"I ordered {minutes} minutes ago and have not heard anything since. Can you check?",
		"Please move my booking from {day} to another day, the same time would be best.",
		"How large is a portion of {dish}? Enough for two?",
		"Can I pay at the table or only in advance?",
		"Which of the desserts are made without eggs?",
		"Last time {dish} was a bit too salty for me. Could the kitchen go easy on it?",
		"Thanks! And what do you have for children?",
		"Do you send an invoice to a company address?",
		"That sounds good. Please put me down for {time}.",
		"Is the terrace open when it rains?",
	}
}

func answers() []string {
	return []string{
		"Yes, {dish} is on the menu on {day}, from noon until the kitchen closes at half past nine.",
		"I have noted it: no onions, and the kitchen will confirm before they start.",
		"There is a table for {people} at {time}, inside and away from the door.",
		"Deliveries take about {minutes} minutes at the moment, a little more when it rains.",
		"Many guests take a dry cider with {dish}; if you prefer something without alcohol, the ginger lemonade works well.",
		"It contains milk and celery, and it is prepared in a kitchen where nuts are handled, so I would not call it safe for a severe allergy.",
		"Your order left the kitchen a few minutes ago and the courier is on the way.",
		"I have moved the booking and kept the time; you will get a message if anything changes.",
		"A portion is generous: two people with a normal appetite share it with a side dish.",
		"You can pay at the table by card or in cash, and in advance if you order online.",
		"The sorbets and the baked apple are made without eggs, everything else contains at least a little.",
		"I passed your remark on; the cook will season {dish} lightly and send extra salt on the side.",
		"For children there is a small plate of noodles with butter or tomato sauce, and half portions of most soups.",
		"We send invoices by e-mail; tell me the company's name and address and I will add them to the order.",
		"Done, I put you down for {time}. Please tell us if you are more than {minutes} minutes late.",
		"The terrace has a roof, so it stays open unless there is a storm warning.",
		"If you would like to change anything, just write here until one hour before.",
		"I checked with the kitchen to be certain, and they said it is no trouble at all.",
		"For groups larger than six we ask for a short confirmation the day before.",
		"Anything else I can do for you?",
	}
}
