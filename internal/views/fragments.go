package views

import (
	"bytes"
	"context"
	"fmt"

	"github.com/a-h/templ"
)

// Fragment is a part of the overview page that is replaced as a whole.
type Fragment struct {
	ID   string // of the element on the page
	HTML []byte
}

// Fragments renders every part of the overview that changes while it is
// watched, in the order of the page.
func (o Overview) Fragments(ctx context.Context) ([]Fragment, error) {
	type part struct {
		id        string
		component templ.Component
	}
	parts := []part{
		{"state", stateStrip(o)}, {"headline", headline(o)}, {"speedup", speedup(o)},
		{"families-note", familiesNote(o)},
	}
	for _, f := range o.Families {
		parts = append(parts, part{"family-" + f.Name, familyRow(f, o.Scan)})
	}
	parts = append(parts, part{"scan", scanNote(o)})
	if !o.Surroundings.Redis.Absent {
		parts = append(parts, part{"action", ActionStatus(o.Action)})
	}

	fragments := make([]Fragment, 0, len(parts))
	for _, p := range parts {
		var html bytes.Buffer
		if err := p.component.Render(ctx, &html); err != nil {
			return nil, fmt.Errorf("render fragment %s of the overview: %w", p.id, err)
		}
		fragments = append(fragments, Fragment{ID: p.id, HTML: html.Bytes()})
	}
	return fragments, nil
}

// Partial wraps the fragment as htmx expects it: with its target and how it
// goes there. Morphing leaves focus and scrolling alone.
func (f Fragment) Partial() []byte {
	return fmt.Appendf(nil, `<hx-partial hx-target="#%s" hx-swap="outerMorph">%s</hx-partial>`, f.ID, f.HTML)
}
