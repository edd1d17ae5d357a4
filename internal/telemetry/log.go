package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/term"
)

// NewLogger returns a logger that writes text for people or JSON for machines.
// Any other format is an error.
func NewLogger(w io.Writer, format string, level slog.Leveler) (*slog.Logger, error) {
	switch format {
	case "text":
		return slog.New(&textHandler{out: &output{w: w, colour: colours(w)}, level: level}), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})), nil
	default:
		return nil, fmt.Errorf("unknown log format %q: it is text or json", format)
	}
}

// colours reports whether w is a terminal whose user wants colour
// (no-color.org).
func colours(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}

// textHandler writes a line for people: time, level unless it is info, message
// and key=value pairs.
type textHandler struct {
	out    *output
	level  slog.Leveler
	prefix string // of keys, from groups
	attrs  string // rendered already
}

type output struct {
	mu     sync.Mutex
	w      io.Writer
	colour bool
}

func (h *textHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	for _, a := range attrs {
		c.attrs += render(h.prefix, a)
	}
	return &c
}

func (h *textHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.prefix += name + "."
	return &c
}

func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	dim, plain := "", ""
	if h.out.colour {
		dim, plain = "\x1b[2m", "\x1b[0m"
	}
	if !r.Time.IsZero() {
		b.WriteString(dim + r.Time.Format("15:04:05") + plain + " ")
	}
	if r.Level != slog.LevelInfo {
		b.WriteString(r.Level.String() + " ")
	}
	b.WriteString(oneLine(r.Message))
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(render(h.prefix, a))
		return true
	})
	b.WriteByte('\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := io.WriteString(h.out.w, b.String())
	return err
}

func render(prefix string, a slog.Attr) string {
	v := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
		return ""
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			prefix += a.Key + "."
		}
		text := ""
		for _, member := range v.Group() {
			text += render(prefix, member)
		}
		return text
	default:
		text := v.String()
		if text == "" || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '"' || !unicode.IsPrint(r) }) {
			text = strconv.Quote(text)
		}
		return " " + oneLine(prefix+a.Key) + "=" + text
	}
}

// oneLine escapes what could forge a line or drive a terminal.
func oneLine(s string) string {
	if !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}
