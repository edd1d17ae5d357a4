package outbox

import (
	"context"
	"fmt"
	"slices"

	"github.com/oglab/ogcache/internal/families"
)

// apply drops every key that the changes outdate, each once, and clears the
// families of changes of everything.
func (w *Worker) apply(ctx context.Context, changes []families.Change, drop func(context.Context, []families.Key) error) error {
	var keys []families.Key
	var whole []*families.Family
	seen := make(map[families.Key]bool)
	for _, c := range changes {
		for _, k := range c.Keys() {
			if !seen[k] {
				seen[k] = true
				keys = append(keys, k)
			}
		}
		if c.All {
			for _, f := range c.Families() {
				if !slices.Contains(whole, f) {
					whole = append(whole, f)
				}
			}
		}
	}
	if len(whole) > 0 {
		if err := w.clear(ctx, whole); err != nil {
			return fmt.Errorf("clearing families: %w", err)
		}
	}
	for batch := range slices.Chunk(keys, dropBatch) {
		if err := drop(ctx, batch); err != nil {
			return fmt.Errorf("dropping keys: %w", err)
		}
	}
	return nil
}
