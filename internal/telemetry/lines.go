package telemetry

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
)

// Lines writes the guide's log lines: what hit, what was cached, what was
// invalidated. Ids are shown, tokens and their digests never. It is safe for
// concurrent use.
type Lines struct {
	logger    *slog.Logger
	perSecond int // 0: all

	mu         sync.Mutex
	second     time.Time
	written    int
	suppressed int
}

var _ instrumented.Observer = (*Lines)(nil)

// NewLines returns an observer that writes at most perSecond lines about hits
// and stores a second, or all when that is 0. The next line that is written
// tells how many were not.
func NewLines(logger *slog.Logger, perSecond int) *Lines {
	return &Lines{logger: logger, perSecond: perSecond}
}

// Lookup implements instrumented.Observer.
func (l *Lines) Lookup(ctx context.Context, key families.Key, result instrumented.Result) {
	f := key.Family()
	switch result {
	case instrumented.Hit, instrumented.NearHit:
		if f.Single != "" {
			l.limited(ctx, func() string { return "⚡ " + f.Title + " cache hit" })
			return
		}
		l.limited(ctx, func() string { return "⚡ " + f.Title + " from Redis" + shown(key, ": ") })
	case instrumented.Miss:
		if l.logger.Enabled(ctx, slog.LevelDebug) {
			l.logger.LogAttrs(ctx, slog.LevelDebug, "❌ Cache miss: "+strings.ToLower(f.Title)+shown(key, " "))
		}
	}
}

// Stored implements instrumented.Observer.
func (l *Lines) Stored(ctx context.Context, key families.Key) {
	l.limited(ctx, func() string {
		return "💾 Cached " + strings.ToLower(key.Family().Title) + shown(key, ": ")
	})
}

// Dropped implements instrumented.Observer.
func (l *Lines) Dropped(ctx context.Context, key families.Key) {
	l.limited(ctx, func() string {
		return "🗑️ Invalidated cache for " + strings.ToLower(key.Family().Title) + shown(key, ": ")
	})
}

// shown returns the key's id behind a separator, or nothing where the id is a
// token's digest or says nothing.
func shown(key families.Key, separator string) string {
	if key.Family() == families.AuthToken || key.Family().Single != "" {
		return ""
	}
	return separator + key.ID()
}

func (l *Lines) limited(ctx context.Context, message func() string) {
	if !l.logger.Enabled(ctx, slog.LevelInfo) {
		return
	}
	suppressed, ok := l.allow()
	if !ok {
		return
	}
	var attrs []slog.Attr
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	l.logger.LogAttrs(ctx, slog.LevelInfo, message(), attrs...)
}

// allow reports whether a line may be written now, and how many were not since
// the last one.
func (l *Lines) allow() (suppressed int, ok bool) {
	if l.perSecond == 0 {
		return 0, true
	}
	now := time.Now().Truncate(time.Second)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !now.Equal(l.second) {
		l.second, l.written = now, 0
	}
	if l.written == l.perSecond {
		l.suppressed++
		return 0, false
	}
	l.written++
	suppressed, l.suppressed = l.suppressed, 0
	return suppressed, true
}
