package main

import (
	"context"
	"fmt"

	"github.com/oglab/ogcache/internal/origin"
)

func migrate(ctx context.Context, p *program, args []string) error {
	if err := p.parse(p.flags("migrate"), args); err != nil {
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
	applied, err := b.database.Migrate(ctx)
	if err != nil {
		return err
	}
	for _, name := range applied {
		fmt.Fprintln(p.stdout, "applied", name)
	}
	if len(applied) == 0 {
		fmt.Fprintln(p.stdout, "the schema is up to date")
	}
	return nil
}

// maxSeedUsers bounds what one seeding makes.
const maxSeedUsers = 1_000_000

func seed(ctx context.Context, p *program, args []string) error {
	fs := p.flags("seed")
	users := fs.Int("users", 2000, "how many users")
	number := fs.Uint64("seed", 1, "which users: the same seed makes the same users")
	tokens := fs.String("tokens", "", "write one bearer token per user to this file (required)")
	if err := p.parse(fs, args); err != nil {
		return err
	}
	if *tokens == "" {
		return fmt.Errorf("%w: --tokens FILE is needed: the tokens cannot be read from the database", errUsage)
	}
	if *users < 1 || *users > maxSeedUsers {
		return fmt.Errorf("%w: --users is %d; it is 1 to %d", errUsage, *users, maxSeedUsers)
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
	bar := p.newBar("seeding")
	people, err := b.database.Seed(ctx, origin.Population{Users: *users, Seed: *number}, bar.update)
	bar.clear()
	if err != nil {
		return err
	}
	if err := origin.WriteIdentities(*tokens, people); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%d users are there, their tokens are in %s\n", len(people), *tokens)
	return nil
}
