package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/keyspace"
	"github.com/oglab/ogcache/internal/outbox"
)

// newOutbox returns the worker that drops from this process's Redis.
func (b *backend) newOutbox() (*outbox.Worker, error) {
	return outbox.New(outbox.Options{
		Source: b.database,
		Drop:   func(ctx context.Context, keys []families.Key) error { return b.cache.DropNow(ctx, keys) },
		Clear: func(ctx context.Context, whole []*families.Family) error {
			for _, f := range whole {
				if _, err := b.keys.Clear(ctx, keyspace.Family(f), nil); err != nil {
					return err
				}
			}
			return nil
		},
		Lifetime:   b.longestLifetime(),
		Registerer: b.observed.registry, Logger: b.observed.logger,
	})
}

// longestLifetime is that of families.LongestLifetime with the configured times
// past their lifetime for which entries are kept.
func (b *backend) longestLifetime() time.Duration {
	longest := families.LongestLifetime()
	for f, staleFor := range b.config.StaleFor {
		longest = max(longest, f.TTL+staleFor)
	}
	return longest
}

func outboxCommand(ctx context.Context, p *program, args []string) error {
	fs := p.flags("outbox")
	asJSON := fs.Bool("json", false, "print the state as JSON")
	action := ""
	if at := slices.IndexFunc(args, func(a string) bool { return a == "on" || a == "off" }); at >= 0 {
		action = args[at]
		args = slices.Delete(slices.Clone(args), at, at+1)
	}
	if err := p.parse(fs, args); err != nil {
		return err
	}
	b, err := p.open(ctx, serveHitLines)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.openDatabase(ctx); err != nil {
		return err
	}
	if err := b.bringUpToDate(ctx); err != nil {
		return err
	}
	if action != "" {
		if err := b.database.SwitchOutbox(ctx, action == "on"); err != nil {
			return err
		}
	}
	state, err := b.database.OutboxState(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		return p.printJSON(map[string]any{
			"enabled": state.Enabled, "pending": state.Pending, "oldestSeconds": state.Oldest.Seconds(),
		})
	}
	recording := "on: changes are recorded"
	if !state.Enabled {
		recording = "off: changes are not recorded, or not all of them"
	}
	fmt.Fprintf(p.stdout, "the outbox is %s\n%d changes are pending, the oldest for %v\n",
		recording, state.Pending, state.Oldest.Round(time.Millisecond))
	return nil
}
