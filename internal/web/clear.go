package web

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/keyspace"
	"github.com/oglab/ogcache/internal/views"
)

// chosen is what an operator wants to clear.
type chosen struct {
	title    string
	fields   []views.Field // that choose it again
	keys     keyspace.Selection
	families []*families.Family
	kept     []string // titles of spared families
}

var errNothingChosen = errors.New("choose either a family or a prefix")

const chooseAll = "all"

// choiceOf reads the fields "what" ("all" or a family's name) and "prefix", of
// which there must be exactly one.
func choiceOf(form url.Values) (chosen, error) {
	what, prefix := form.Get("what"), form.Get("prefix")
	switch {
	case (what == "") == (prefix == ""):
		return chosen{}, errNothingChosen
	case prefix != "":
		return prefixChosen(prefix)
	case what == chooseAll:
		return everythingChosen(), nil
	}
	f, ok := families.ByName(what)
	if !ok {
		return chosen{}, errors.New("there is no family of that name")
	}
	return chosen{
		title: f.Title, fields: []views.Field{{Name: "what", Value: what}},
		keys: keyspace.Family(f), families: []*families.Family{f},
	}, nil
}

func prefixChosen(prefix string) (chosen, error) {
	owners, err := families.ByPrefix(prefix)
	if err != nil {
		return chosen{}, err
	}
	selection, err := keyspace.Prefix(prefix)
	if err != nil {
		return chosen{}, err
	}
	return chosen{
		title: fmt.Sprintf("keys that start with “%s”", prefix), fields: []views.Field{{Name: "prefix", Value: prefix}},
		keys: selection, families: owners,
	}, nil
}

func everythingChosen() chosen {
	c := chosen{title: "everything", fields: []views.Field{{Name: "what", Value: chooseAll}}, keys: keyspace.Everything()}
	for _, f := range families.All() {
		if f.Keep {
			c.kept = append(c.kept, f.Title)
		} else {
			c.families = append(c.families, f)
		}
	}
	return c
}

// confirmation is what the operator is asked, given the number of keys and the
// last scan. A prefix that is only part of a family has no number per family.
func (c chosen) confirmation(count int64, snapshot keyspace.Snapshot, scanned bool) views.Clearing {
	v := views.Clearing{Title: c.title, Fields: c.fields, Count: count, Kept: c.kept}
	for _, f := range c.families {
		keys := int64(-1)
		if scanned && len(c.families) > 1 {
			keys = snapshot.Families[f.Name].Keys
		}
		v.Families = append(v.Families, views.ClearedFamily{Title: f.Title, Name: f.Name, Keys: keys})
	}
	return v
}

// clearable are the families that the page offers to clear.
func clearable() []views.Choice {
	var choices []views.Choice
	for _, f := range families.All() {
		choices = append(choices, views.Choice{Name: f.Name, Title: f.Title})
	}
	return choices
}
