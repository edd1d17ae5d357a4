package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"

	"github.com/oglab/ogcache/internal/keyspace"
	"github.com/oglab/ogcache/internal/telemetry"
)

// flushTimeout bounds the sending of the last spans.
const flushTimeout = time.Second

// observing says how a command shows what it does.
type observing struct {
	format   string // text or json
	level    slog.Level
	hitLines int // per second; 0 is all
}

// observed is a command's logs, metrics and traces.
type observed struct {
	logger   *slog.Logger
	lines    *telemetry.Lines
	registry *prometheus.Registry
	traces   *telemetry.Traces
}

func (p *program) observe(ctx context.Context, o observing) (*observed, error) {
	logger, err := telemetry.NewLogger(p.stderr, o.format, o.level)
	if err != nil {
		return nil, err
	}
	// go-redis has one logger for the process. What it reports reaches the
	// operator through the breaker.
	redis.SetLogger(redisLog{logger})
	traces, err := telemetry.SetupTraces(ctx)
	if err != nil {
		return nil, fmt.Errorf("setting up tracing: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "ogcache_build_info", Help: "1, labelled by the Go version that built this program.",
			ConstLabels: prometheus.Labels{"goversion": runtime.Version()},
		}, func() float64 { return 1 }))
	return &observed{
		logger: logger, lines: telemetry.NewLines(logger, o.hitLines), registry: registry, traces: traces,
	}, nil
}

// flush sends what has not been sent yet.
func (o *observed) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := o.traces.Shutdown(ctx); err != nil {
		o.logger.Warn("some spans were not sent", "error", err)
	}
}

// keyspace returns a reader whose snapshots are on the metrics.
func (o *observed) keyspace(client redis.UniversalClient) (*keyspace.Reader, error) {
	r := keyspace.NewReader(client)
	return r, o.registry.Register(r)
}

type redisLog struct{ logger *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.logger.DebugContext(ctx, fmt.Sprintf(format, v...))
}
