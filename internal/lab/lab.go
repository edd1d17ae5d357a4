// Package lab is ogcache in one process: an embedded Redis and origin, an
// emulated network between them, the application on top and traffic against
// it. The demo, the load generator and tests use it.
package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/origin"
)

// MaxUsers keeps the embedded Redis below 20,000 keys, beyond which its clock
// gets slow.
const MaxUsers = 2000

// Options describe a laboratory. The zero value has MaxUsers users and no
// emulated delays.
type Options struct {
	Users          int
	Seed           uint64
	Network        string // a name from Networks; "" is none
	Registerer     prometheus.Registerer
	TracerProvider trace.TracerProvider
	Observer       instrumented.Observer
	Logger         *slog.Logger
}

// Lab is a running laboratory.
type Lab struct {
	Redis      *instrumented.Redis
	Cache      *instrumented.Cache
	Agent      *agent.Agent
	Network    Network
	Identities []origin.Identity

	server *miniredis.Miniredis
	stop   context.CancelFunc
	ticker sync.WaitGroup
}

// New starts a laboratory. Close ends it.
func New(o Options) (_ *Lab, err error) {
	if o.Users == 0 {
		o.Users = MaxUsers
	}
	if o.Users < 0 || o.Users > MaxUsers {
		return nil, fmt.Errorf("the laboratory holds 1 to %d users, not %d", MaxUsers, o.Users)
	}
	if o.Network == "" {
		o.Network = "none"
	}
	network, err := NetworkByName(o.Network)
	if err != nil {
		return nil, err
	}
	emulated, err := newEmulation(network, o.Registerer)
	if err != nil {
		return nil, err
	}
	l := &Lab{Network: network, server: miniredis.NewMiniRedis()}
	if err := l.server.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("starting the embedded Redis: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	l.ticker.Go(func() { l.driveClock(ctx) })
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	l.Redis, err = instrumented.NewRedis(instrumented.RedisOptions{
		Addrs: []string{l.server.Addr()}, Dial: emulated.dialer(),
	})
	if err != nil {
		return nil, err
	}
	l.Cache, err = instrumented.New(instrumented.Options{
		Redis: l.Redis, Registerer: o.Registerer, TracerProvider: o.TracerProvider,
		Observer: o.Observer, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	memory := origin.NewMemory(origin.Population{Users: o.Users, Seed: o.Seed})
	l.Identities = memory.Identities()
	distant := distantOrigin{Store: memory, auth: memory, network: emulated}
	l.Agent = agent.New(l.Cache, distant, distant, agent.Options{Logger: o.Logger})
	return l, nil
}

// driveClock lets entries expire: the embedded Redis has no clock of its own.
func (l *Lab) driveClock(ctx context.Context) {
	const step = time.Second
	tick := time.NewTicker(step)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.server.FastForward(step)
		}
	}
}

// Driver returns the application as a target for traffic.
func (l *Lab) Driver() *Driver {
	return &Driver{Agent: l.Agent, Cache: l.Cache, Identities: l.Identities}
}

// Close ends everything that New started.
func (l *Lab) Close() error {
	l.stop()
	l.ticker.Wait()
	var errs []error
	if l.Cache != nil {
		errs = append(errs, l.Cache.Close())
	}
	if l.Redis != nil {
		errs = append(errs, l.Redis.Close())
	}
	l.server.Close()
	return errors.Join(errs...)
}
