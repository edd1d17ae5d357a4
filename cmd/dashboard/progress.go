package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progressEvery is the pause between two drawings of a bar.
const progressEvery = 100 * time.Millisecond

// bar draws progress on one line of a terminal, and nothing elsewhere.
type bar struct {
	w     io.Writer // nil when it is not a terminal
	label string
	drawn time.Time
}

func (p *program) newBar(label string) *bar {
	b := &bar{label: label}
	if f, ok := p.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.w = f
	}
	return b
}

// update draws how far the work is. A total of 0 or less is not known.
func (b *bar) update(done, total int) {
	if b.w == nil || time.Since(b.drawn) < progressEvery && done != total {
		return
	}
	b.drawn = time.Now()
	if total <= 0 {
		fmt.Fprintf(b.w, "\r\x1b[K%s %d", b.label, done)
		return
	}
	const width = 30
	filled := width * min(done, total) / total
	fmt.Fprintf(b.w, "\r\x1b[K%s [%s%s] %d/%d", b.label,
		strings.Repeat("#", filled), strings.Repeat(".", width-filled), done, total)
}

// clear removes the bar, so that what follows starts on an empty line.
func (b *bar) clear() {
	if b.w != nil && !b.drawn.IsZero() {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}
