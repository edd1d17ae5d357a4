package ogcache

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/config"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/lab"
	"github.com/oglab/ogcache/internal/origin"
	"github.com/oglab/ogcache/internal/scenarios"
)

// connectTimeout bounds the first connection to PostgreSQL and to Redis.
const connectTimeout = 10 * time.Second

// inProcess carries events out on the application itself, in this process.
type inProcess struct{ driver *lab.Driver }

func (p inProcess) do(ctx context.Context, e scenarios.Event, bypass bool) (outcome, error) {
	o, err := p.driver.Do(ctx, e, bypass)
	if err != nil && o.Status < http.StatusBadRequest {
		o.Status = http.StatusInternalServerError
	}
	return outcome{status: o.Status, duration: o.Duration, lookups: o.Lookups}, err
}

// openInProcess puts the application on a Redis and a PostgreSQL. They stay
// open as long as the process lives.
func openInProcess(s settings, people []origin.Identity) (driver, error) {
	env := map[string]string{"REDIS_URL": s.Redis, "DATABASE_URL": s.Database}
	c, err := config.Load(func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	database, err := origin.OpenPostgres(ctx, c.DatabaseURL.Reveal(), origin.PostgresOptions{})
	if err != nil {
		return nil, err
	}
	redis, err := instrumented.NewRedis(instrumented.RedisOptions{
		Addrs: c.Redis.Addrs, Username: c.Redis.Username, Password: c.Redis.Password.Reveal(), DB: c.Redis.DB,
		TLS: c.Redis.TLS, MasterName: c.Redis.MasterName, Cluster: c.Redis.Cluster,
	})
	if err != nil {
		return nil, err
	}
	if err := redis.Ping(ctx).Err(); err != nil {
		return nil, fmt.Errorf("%s does not answer: %w", c.Redis.Description(), err)
	}
	cache, err := instrumented.New(instrumented.Options{Redis: redis})
	if err != nil {
		return nil, err
	}
	app := agent.New(cache, database, database, agent.Options{})
	return inProcess{&lab.Driver{Agent: app, Cache: cache, Identities: people}}, nil
}
