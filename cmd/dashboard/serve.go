package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/views"
	"github.com/oglab/ogcache/internal/web"
)

const (
	serveHitLines = 10 // per second
	serveGrace    = 15 * time.Second
)

func serve(ctx context.Context, p *program, args []string) error {
	fs := p.flags("serve")
	addr := fs.String("addr", "", "address to serve, on loopback (default 127.0.0.1:3001, or 127.0.0.1:$PORT)")
	if err := p.parse(fs, args); err != nil {
		return err
	}
	b, err := p.open(ctx, serveHitLines)
	if err != nil {
		return err
	}
	defer b.close()
	if *addr == "" {
		*addr = b.config.Addr
	}
	if b.redis == nil {
		fmt.Fprintln(p.stderr, noCredentials)
	}
	if err := b.openDatabase(ctx); err != nil {
		return err
	}
	if err := b.bringUpToDate(ctx); err != nil {
		return err
	}
	if err := b.openAgent(true); err != nil {
		return err
	}
	listener, err := listen(*addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	server, err := web.New(web.Options{
		Agent: b.agent, Cache: b.cache, Keyspace: b.keys, Database: b.database.Ping,
		ServiceToken: b.config.ServiceToken.Reveal(), Surroundings: b.surroundings(),
		Registry: b.observed.registry, TracerProvider: b.observed.traces.TracerProvider,
		Propagator: b.observed.traces.Propagator, Logger: b.observed.logger,
	})
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	if b.keys != nil {
		background.Go(func() { b.keys.Run(working) })
		background.Go(func() { b.outbox.Run(working) })
		background.Go(func() { b.warm(working) })
	}
	fmt.Fprintf(p.stdout, "ogcache on http://%s · %s\n", listener.Addr(), b.describe())
	return server.Serve(ctx, listener, serveGrace)
}

// bringUpToDate applies migrations, or refuses to serve where they are pending
// and switched off.
func (b *backend) bringUpToDate(ctx context.Context) error {
	if b.config.Migrate {
		applied, err := b.database.Migrate(ctx)
		if len(applied) > 0 {
			b.observed.logger.Info("migrations applied", "names", strings.Join(applied, ", "))
		}
		return err
	}
	pending, err := b.database.Pending(ctx)
	if err == nil && len(pending) > 0 {
		err = fmt.Errorf("migrations are pending (%s) and OGCACHE_MIGRATE is false: run dashboard migrate", strings.Join(pending, ", "))
	}
	return err
}

// warm fills the critical caches at start-up, beside the traffic (R4).
func (b *backend) warm(ctx context.Context) {
	if !b.config.Warmup {
		return
	}
	// What is stored before invalidations are caught up with may be dropped again.
	for !b.cache.Trusted() && b.cache.Available() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
	result, err := b.agent.Warmup(ctx, agent.WarmupAll, nil)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		b.observed.logger.Warn("the warm-up at the start failed", "error", err)
	default:
		b.observed.logger.Info("warmed up", "loaded", result.Loaded, "present", result.Present, "took", result.Took)
	}
}

func (b *backend) surroundings() views.Surroundings {
	s := views.Surroundings{
		Redis:    views.Part{Absent: true},
		Database: views.Part{Description: "PostgreSQL"},
		Network:  views.Network{Profile: "live"},
	}
	if b.redis != nil {
		s.Redis = views.Part{Description: b.config.Redis.Description()}
	}
	return s
}

func (b *backend) describe() string {
	redis := "no Redis, every read goes to the database"
	if b.redis != nil {
		redis = b.config.Redis.Description()
	}
	auth := "sessions in the database"
	if b.config.Supabase != nil {
		auth = "sessions by Supabase"
	}
	return redis + " · PostgreSQL · " + auth
}
