package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/keyspace"
)

func (p *program) printJSON(v any) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func warmup(ctx context.Context, p *program, args []string) error {
	fs := p.flags("warmup")
	menu := fs.Bool("menu", false, "the menu alone")
	asJSON := fs.Bool("json", false, "print the result as JSON")
	if err := p.parse(fs, args); err != nil {
		return err
	}
	b, err := p.open(ctx, serveHitLines)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.requireRedis(ctx); err != nil {
		return err
	}
	if !*asJSON {
		fmt.Fprintln(p.stdout, "✅ Redis is available")
	}
	if err := b.openDatabase(ctx); err != nil {
		return err
	}
	if err := b.openAgent(false); err != nil {
		return err
	}
	// The menu first: it is what the guide's command promises.
	first, err := b.agent.Warmup(ctx, agent.WarmupMenu, nil)
	if err != nil {
		return err
	}
	if !*asJSON {
		fmt.Fprintln(p.stdout, "✅ Menu cache warmed up successfully")
	}
	if *menu {
		return p.reportWarmup(first, *asJSON)
	}
	bar := p.newBar("warming up")
	all, err := b.agent.Warmup(ctx, agent.WarmupAll, bar.update)
	bar.clear()
	if err != nil {
		return err
	}
	all.Loaded += first.Loaded
	all.Present -= first.Loaded
	all.Took += first.Took
	return p.reportWarmup(all, *asJSON)
}

func (p *program) reportWarmup(r agent.WarmupResult, asJSON bool) error {
	if asJSON {
		return p.printJSON(map[string]any{
			"loaded": r.Loaded, "present": r.Present, "seconds": r.Took.Seconds(),
		})
	}
	fmt.Fprintf(p.stdout, "%d entries loaded, %d were cached already, in %v\n", r.Loaded, r.Present, r.Took.Round(time.Millisecond))
	return nil
}

func stats(ctx context.Context, p *program, args []string) error {
	fs := p.flags("stats")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := p.parse(fs, args); err != nil {
		return err
	}
	b, err := p.open(ctx, serveHitLines)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.requireRedis(ctx); err != nil {
		return err
	}
	server, err := b.keys.Server(ctx)
	if err != nil {
		return err
	}
	s, err := b.keys.Scan(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		return p.printJSON(statsJSON(server, s))
	}
	fmt.Fprintf(p.stdout, "%s, version %s, %s, memory %s\n", b.config.Redis.Description(), server.Version, server.Mode, server.Memory)
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "family\tkeys\tbytes\twithout expiry\tover policy\t")
	for _, name := range familyNames() {
		f := s.Families[name]
		bytes := "not told"
		if s.BytesOffered {
			bytes = fmt.Sprint(f.Bytes)
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t\n", name, f.Keys, bytes, f.NoExpiry, f.OverPolicy)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "exact scan of %d of %d keys in %v\n", s.Scanned, s.Total, s.Took.Round(time.Millisecond))
	return nil
}

func familyNames() []string {
	var names []string
	for _, f := range families.All() {
		names = append(names, f.Name)
	}
	return append(names, families.Other)
}

func statsJSON(server keyspace.Server, s keyspace.Snapshot) map[string]any {
	of := make(map[string]any)
	for _, name := range familyNames() {
		f := s.Families[name]
		entry := map[string]any{"keys": f.Keys, "withoutExpiry": f.NoExpiry, "overPolicy": f.OverPolicy, "ttlTwelfths": f.TTL}
		if s.BytesOffered {
			entry["bytes"] = f.Bytes
		}
		of[name] = entry
	}
	return map[string]any{
		"version": server.Version, "mode": server.Mode, "memory": server.Memory, "totalKeys": s.Total,
		"scanned": s.Scanned, "takenAt": s.TakenAt, "seconds": s.Took.Seconds(), "families": of,
	}
}

func clearKeys(ctx context.Context, p *program, args []string) error {
	fs := p.flags("clear")
	prefix := fs.String("prefix", "", "only keys that start with this, taken literally")
	family := fs.String("family", "", "only this family's keys")
	dry := fs.Bool("dry-run", false, "count, remove nothing")
	yes := fs.Bool("yes", false, "do not ask")
	asJSON := fs.Bool("json", false, "print the result as JSON")
	if err := p.parse(fs, args); err != nil {
		return err
	}
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	selection, what, err := selectKeys(given, *prefix, *family)
	if err != nil {
		return err
	}
	b, err := p.open(ctx, serveHitLines)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.requireRedis(ctx); err != nil {
		return err
	}
	count, err := b.keys.Count(ctx, selection)
	if err != nil {
		return err
	}
	if *dry {
		if *asJSON {
			return p.printJSON(map[string]any{"selected": count, "removed": 0, "dryRun": true})
		}
		fmt.Fprintf(p.stdout, "%d keys would be removed: %s\n", count, what)
		return nil
	}
	if !*yes {
		if err := p.confirm(fmt.Sprintf("Remove %d keys: %s?", count, what)); err != nil {
			return err
		}
	}
	bar := p.newBar("clearing")
	start := time.Now()
	removed, err := b.keys.Clear(ctx, selection, func(done int64) { bar.update(int(done), int(count)) })
	bar.clear()
	if err != nil {
		return fmt.Errorf("stopped after %d of about %d keys: %w", removed, count, err)
	}
	if *asJSON {
		return p.printJSON(map[string]any{"selected": count, "removed": removed, "dryRun": false, "seconds": time.Since(start).Seconds()})
	}
	fmt.Fprintf(p.stdout, "%d keys removed in %v: %s\n", removed, time.Since(start).Round(time.Millisecond), what)
	return nil
}

// selectKeys turns the flags into a selection and says what it is.
func selectKeys(given map[string]bool, prefix, family string) (keyspace.Selection, string, error) {
	switch {
	case given["prefix"] && given["family"]:
		return keyspace.Selection{}, "", fmt.Errorf("%w: give --prefix or --family, not both", errUsage)
	case given["prefix"]:
		s, err := keyspace.Prefix(prefix)
		if err != nil {
			return s, "", fmt.Errorf("%w: --prefix: %v", errUsage, err)
		}
		return s, fmt.Sprintf("those of ogcache that start with %q", prefix), nil
	case given["family"]:
		f, ok := families.ByName(family)
		if !ok {
			return keyspace.Selection{}, "", fmt.Errorf("%w: --family: there is no family %q; known are %s",
				errUsage, family, strings.Join(familyNames()[:len(familyNames())-1], ", "))
		}
		return keyspace.Family(f), "the family " + f.Name, nil
	default:
		return keyspace.Everything(), "all of ogcache's, but analytics", nil
	}
}

// confirm asks on a terminal; elsewhere --yes is needed.
func (p *program) confirm(question string) error {
	if p.stdin == nil || !term.IsTerminal(int(p.stdin.Fd())) {
		return fmt.Errorf("%w: %s Say so with --yes", errUsage, question)
	}
	fmt.Fprintf(p.stderr, "%s Type yes: ", question)
	answer, err := bufio.NewReader(p.stdin).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != "yes" {
		return fmt.Errorf("not confirmed, nothing was removed")
	}
	return nil
}
