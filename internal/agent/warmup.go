package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/origin"
)

// ErrCacheUnavailable says that there is no Redis to warm, or that it does not
// answer.
var ErrCacheUnavailable = errors.New("the cache is not available: Redis does not answer or is not configured")

// WarmupScope says what a warm-up covers.
type WarmupScope string

// The scopes of the guide's commands.
const (
	WarmupAll  WarmupScope = "all"  // the menu, and profile and conversations of recent users
	WarmupMenu WarmupScope = "menu" // the menu alone
)

// WarmupResult is what a warm-up did.
type WarmupResult struct {
	Loaded  int           `json:"loaded"`  // entries loaded and stored
	Present int           `json:"present"` // entries that were cached, or being loaded, already
	Took    time.Duration `json:"took"`
}

// warmBatch is how many entries one load covers.
const warmBatch = 100

// Warmup loads what readers will ask for first. progress, which may be nil, is
// told after every batch. What is cached already is left as it is.
func (a *Agent) Warmup(ctx context.Context, scope WarmupScope, progress func(done, total int)) (WarmupResult, error) {
	start := time.Now()
	if progress == nil {
		progress = func(int, int) {}
	}
	if !a.cache.Available() {
		return WarmupResult{}, ErrCacheUnavailable
	}
	var users []string
	if scope == WarmupAll {
		var err error
		if users, err = a.store.RecentUsers(ctx, a.warmUsers); err != nil {
			return WarmupResult{}, fmt.Errorf("warm-up: listing recent users: %w", err)
		}
	}
	w := warming{total: 1 + 2*len(users), progress: progress}
	w.batch(1, func() (int, error) {
		return a.menus.Warm(ctx, []string{families.MenuItems.Single}, a.loadMenu)
	})
	for ids := range slices.Chunk(users, warmBatch) {
		w.batch(len(ids), func() (int, error) { return a.profiles.Warm(ctx, ids, a.store.Profiles) })
		w.batch(len(ids), func() (int, error) { return a.lists.Warm(ctx, ids, a.store.ConversationLists) })
	}
	w.result.Took = time.Since(start)
	return w.result, w.err
}

func (a *Agent) loadMenu(ctx context.Context, _ []string) (map[string][]origin.MenuItem, error) {
	items, err := a.store.Menu(ctx)
	return map[string][]origin.MenuItem{families.MenuItems.Single: items}, err
}

// warming is a warm-up under way. After an error it does nothing more.
type warming struct {
	done, total int
	progress    func(done, total int)
	result      WarmupResult
	err         error
}

func (w *warming) batch(size int, warm func() (int, error)) {
	if w.err != nil {
		return
	}
	loaded, err := warm()
	w.result.Loaded += loaded
	if err != nil {
		w.err = fmt.Errorf("warm-up stopped after %d of %d entries: %w", w.done, w.total, err)
		return
	}
	w.result.Present += size - loaded
	w.done += size
	w.progress(w.done, w.total)
}
