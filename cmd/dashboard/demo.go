package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/lab"
	"github.com/oglab/ogcache/internal/origin"
	"github.com/oglab/ogcache/internal/scenarios"
	"github.com/oglab/ogcache/internal/views"
	"github.com/oglab/ogcache/internal/web"
)

const (
	demoRate  = 60.0 // events per second
	demoGrace = time.Second
	// demoBypass is the share of the demo's requests that go around the cache,
	// so that the page compares measured with measured.
	demoBypass = 0.02
)

func demo(ctx context.Context, p *program, args []string) error {
	fs := p.flags("demo")
	addr := fs.String("addr", "127.0.0.1:3001", "address to serve, on loopback")
	traffic := fs.String("traffic", strconv.FormatFloat(demoRate, 'f', -1, 64), "requests per second, or off")
	network := fs.String("network", "guide", "emulated network: none or guide")
	tokens := fs.String("tokens", "", "write the users' bearer tokens to this file, for the load generator")
	if err := p.parse(fs, args); err != nil {
		return err
	}
	rate, err := parseRate(*traffic)
	if err != nil {
		return err
	}
	if _, err := lab.NetworkByName(*network); err != nil {
		return fmt.Errorf("%w: --network: %v", errUsage, err)
	}
	listener, err := listen(*addr)
	if err != nil {
		return err
	}
	defer listener.Close()

	o, err := p.observe(ctx, observing{format: "text"})
	if err != nil {
		return err
	}
	defer o.flush()
	l, err := lab.New(lab.Options{
		Network: *network, Registerer: o.registry, TracerProvider: o.traces.TracerProvider,
		Observer: o.lines, Logger: o.logger,
	})
	if err != nil {
		return err
	}
	defer l.Close()
	if *tokens != "" {
		if err := origin.WriteIdentities(*tokens, l.Identities); err != nil {
			return err
		}
	}
	keys, err := o.keyspace(l.Redis)
	if err != nil {
		return err
	}
	server, err := web.New(web.Options{
		Agent: l.Agent, Cache: l.Cache, Keyspace: keys, Surroundings: demoSurroundings(l),
		Registry: o.registry, TracerProvider: o.traces.TracerProvider, Propagator: o.traces.Propagator, Logger: o.logger,
	})
	if err != nil {
		return err
	}
	model, err := demoModel(len(l.Identities))
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { keys.Run(working) })
	background.Go(func() {
		if _, err := l.Agent.Warmup(working, agent.WarmupMenu, nil); err != nil && working.Err() == nil {
			o.logger.Error("the menu could not be warmed up", "error", err)
		}
	})
	if rate > 0 {
		t := lab.Traffic{Driver: l.Driver(), Model: model, Rate: rate, Bypass: demoBypass, Logger: o.logger}
		background.Go(func() { t.Run(working) })
	}
	fmt.Fprintln(p.stdout, demoLine(listener.Addr(), l, rate))
	return server.Serve(ctx, listener, demoGrace)
}

func demoModel(users int) (*scenarios.Model, error) {
	params := scenarios.DefaultParams()
	params.Users = users
	return scenarios.NewModel(params)
}

// parseRate reads --traffic; 0 is off.
func parseRate(s string) (float64, error) {
	if s == "off" {
		return 0, nil
	}
	rate, err := strconv.ParseFloat(s, 64)
	if err != nil || rate <= 0 || rate > 10_000 {
		return 0, fmt.Errorf("%w: --traffic is %q; it is off or a rate above 0, at most 10000 per second", errUsage, s)
	}
	return rate, nil
}

// listen takes a loopback address.
func listen(addr string) (net.Listener, error) {
	if err := web.RequireLoopback(addr); err != nil {
		return nil, fmt.Errorf("%w: --addr: %v", errUsage, err)
	}
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken by another process; choose another with --addr", addr)
	}
	return l, err
}

func demoSurroundings(l *lab.Lab) views.Surroundings {
	s := views.Surroundings{
		Redis:    views.Part{Description: "miniredis", Embedded: true},
		Database: views.Part{Description: fmt.Sprintf("in memory, %d users", len(l.Identities)), Embedded: true},
		Network: views.Network{
			Profile: l.Network.Name, RedisRoundTrip: l.Network.RedisRoundTrip,
			Origin: make(map[string]time.Duration),
		},
	}
	for f, d := range l.Network.Origin {
		s.Network.Origin[f.Name] = d
	}
	return s
}

// demoLine says where the demo is and what of it is not real.
func demoLine(addr net.Addr, l *lab.Lab, rate float64) string {
	parts := []string{
		fmt.Sprintf("embedded: Redis (miniredis) and origin (%d users)", len(l.Identities)),
		"emulated: no network",
		"traffic: off",
	}
	if l.Network.RedisRoundTrip > 0 {
		parts[1] = fmt.Sprintf("emulated: network %q (Redis %v away, origin 80–200 ms)", l.Network.Name, l.Network.RedisRoundTrip)
	}
	if rate > 0 {
		parts[2] = fmt.Sprintf("traffic: %g requests/s, %g %% of them around the cache", rate, 100*demoBypass)
	}
	return fmt.Sprintf("ogcache demo on http://%s · %s · Ctrl-C ends it", addr, strings.Join(parts, " · "))
}
