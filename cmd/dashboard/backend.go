package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/config"
	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/keyspace"
	"github.com/oglab/ogcache/internal/origin"
	"github.com/oglab/ogcache/internal/outbox"
)

// noCredentials is the guide's warning (R6).
const noCredentials = "⚠️ Upstash Redis credentials not found"

// connectTimeout bounds a command's first connection to PostgreSQL or Redis.
const connectTimeout = 10 * time.Second

// authTimeout bounds one question to the auth service.
const authTimeout = 5 * time.Second

var errNoRedis = errors.New(noCredentials + ": no Redis is configured: set REDIS_URL, or UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN")

// load reads the configuration from the environment and from .env.
func (p *program) load() (config.Config, error) {
	env, err := config.LoadDotEnv(".env", p.env)
	if err != nil {
		return config.Config{}, err
	}
	p.env = env
	return config.Load(env)
}

// backend is what the configured commands work on. Close ends it.
type backend struct {
	config   config.Config
	observed *observed
	redis    *instrumented.Redis // nil without Redis
	keys     *keyspace.Reader    // nil without Redis
	database *origin.Postgres    // nil until openDatabase
	cache    *instrumented.Cache // nil until openAgent
	outbox   *outbox.Worker      // nil until openAgent, and without Redis
	agent    *agent.Agent        // nil until openAgent
}

// open reads the configuration and sets up logs, metrics and the Redis client.
// It does not wait for Redis.
func (p *program) open(ctx context.Context, hitLines int) (_ *backend, err error) {
	b := &backend{}
	if b.config, err = p.load(); err != nil {
		return nil, err
	}
	if b.observed, err = p.observe(ctx, observing{format: string(b.config.LogFormat), level: b.config.LogLevel, hitLines: hitLines}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if r := b.config.Redis; r != nil {
		b.redis, err = instrumented.NewRedis(instrumented.RedisOptions{
			Addrs: r.Addrs, Username: r.Username, Password: r.Password.Reveal(), DB: r.DB,
			TLS: r.TLS, MasterName: r.MasterName, Cluster: r.Cluster,
		})
		if err != nil {
			return nil, err
		}
		if b.keys, err = b.observed.keyspace(b.redis); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// openDatabase connects to PostgreSQL.
func (b *backend) openDatabase(ctx context.Context) (err error) {
	if err := b.config.RequireDatabase(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	b.database, err = origin.OpenPostgres(ctx, b.config.DatabaseURL.Reveal(), origin.PostgresOptions{
		TracerProvider: b.observed.traces.TracerProvider,
	})
	return err
}

// openAgent puts the cache client and the application on the database. A
// reading one catches up with the outbox before it trusts hits, so the schema
// has to be up to date; a warm-up only stores.
func (b *backend) openAgent(reading bool) (err error) {
	options := agent.Options{Logger: b.observed.logger}
	o := instrumented.Options{
		Redis: b.redis, Budget: b.config.RedisBudget,
		TTL:        map[*families.Family]time.Duration{families.AuthToken: b.config.AuthTTL},
		StaleFor:   b.config.StaleFor,
		Off:        b.config.Off,
		MaxLoads:   b.config.MaxLoads,
		Near:       []*families.Family{families.MenuItems},
		Registerer: b.observed.registry, TracerProvider: b.observed.traces.TracerProvider,
		Observer: b.observed.lines, Logger: b.observed.logger,
	}
	if b.redis != nil {
		if b.outbox, err = b.newOutbox(); err != nil {
			return err
		}
		options.Delivered = b.outbox.Delivered
		if reading {
			o.Ledger = b.outbox
		}
	}
	if b.cache, err = instrumented.New(o); err != nil {
		return err
	}
	var auth agent.Authenticator = b.database
	if s := b.config.Supabase; s != nil {
		auth = origin.NewSupabase(s.URL, s.AnonKey.Reveal(), &http.Client{
			Timeout: authTimeout,
			Transport: otelhttp.NewTransport(http.DefaultTransport,
				otelhttp.WithTracerProvider(b.observed.traces.TracerProvider),
				otelhttp.WithPropagators(b.observed.traces.Propagator)),
		})
		options.Revocations = b.database
	}
	b.agent = agent.New(b.cache, b.database, auth, options)
	return nil
}

// requireRedis waits, bounded, until Redis answers.
func (b *backend) requireRedis(ctx context.Context) error {
	if b.redis == nil {
		return errNoRedis
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := b.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("%s does not answer: %w", b.config.Redis.Description(), err)
	}
	return nil
}

func (b *backend) close() {
	if b.cache != nil {
		b.cache.Close()
	}
	if b.redis != nil {
		b.redis.Close()
	}
	if b.database != nil {
		b.database.Close()
	}
	b.observed.flush()
}
