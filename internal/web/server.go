// Package web serves ogcache over HTTP: the application's API, the guide's
// cache API, the dashboard, metrics and health.
package web

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/keyspace"
	"github.com/oglab/ogcache/internal/views"
)

// statsTimeout bounds what a page or an API call asks Redis for its statistics.
const statsTimeout = 2 * time.Second

// Options are what a Server serves.
type Options struct {
	Agent    *agent.Agent
	Cache    *instrumented.Cache
	Keyspace *keyspace.Reader // nil when no Redis is configured
	// Database answers whether the origin is there; nil means that it cannot
	// be away (an embedded one).
	Database func(context.Context) error
	// ServiceToken may look up any Telegram id; "" allows nobody to.
	ServiceToken string
	// Surroundings say what is embedded and emulated.
	Surroundings   views.Surroundings
	Registry       *prometheus.Registry
	TracerProvider trace.TracerProvider
	Propagator     propagation.TextMapPropagator
	Logger         *slog.Logger
}

// Server is the HTTP server.
type Server struct {
	Options
	dashboard *dashboard
	draining  atomic.Bool
}

// New returns a server. It does nothing before Serve.
func New(o Options) (*Server, error) {
	d, err := newDashboard(o.Cache, o.Agent, o.Keyspace, o.Database, o.Surroundings, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("setting up the dashboard: %w", err)
	}
	return &Server{Options: o, dashboard: d}, nil
}

// route is one line of the table of routes.
type route struct {
	pattern string
	handler http.HandlerFunc
}

func (s *Server) routes() []route {
	return append(s.dashboard.routes(), []route{
		{"GET /api/auth/session", s.endpoint("auth", s.session)},
		{"POST /api/auth/logout", s.endpoint("logout", s.logout)},
		{"GET /api/profile", s.endpoint("profile", s.profile)},
		{"PATCH /api/profile", s.endpoint("update_profile", s.updateProfile)},
		{"GET /api/telegram/{id}", s.endpoint("telegram", s.telegram)},
		{"GET /api/conversations", s.endpoint("conversations", s.conversations)},
		{"GET /api/conversations/{id}", s.endpoint("conversation", s.conversation)},
		{"POST /api/conversations/{id}/messages", s.endpoint("add_message", s.addMessage)},
		{"GET /api/menu", s.endpoint("menu", s.menu)},
		{"GET /api/agent/context", s.endpoint("context", s.agentContext)},
		{"GET /api/bootstrap", s.endpoint("api", s.bootstrap)},

		{"GET /api/cache", s.cacheStatistics},
		{"POST /api/cache", s.cacheAction},

		{"GET /metrics", promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP},
		{"GET /healthz", s.healthy},
		{"GET /readyz", s.ready},
	}...)
}

// Handler returns everything that the server answers.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.pattern, r.handler)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, newProblem(http.StatusNotFound, "there is no such address here"))
	})
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, newProblem(http.StatusForbidden, "the request comes from another site"))
	}))
	h := secured(s.guarded(crossOrigin.Handler(s.recovering(mux))))
	return otelhttp.NewHandler(h, "ogcache",
		otelhttp.WithTracerProvider(s.TracerProvider),
		otelhttp.WithPropagators(s.Propagator),
		otelhttp.WithFilter(func(r *http.Request) bool { return r.URL.Path != "/metrics" && r.URL.Path != "/events" }),
	)
}

func (s *Server) recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.fail(w, r, fmt.Errorf("handler panicked: %v", p))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (s *Server) healthy(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

// readiness is the body of /readyz.
type readiness struct {
	Ready    bool   `json:"ready"`
	Database string `json:"database"` // ok, unavailable
	Redis    string `json:"redis"`    // ok, unavailable, not configured; never a reason to be unready
	Draining bool   `json:"draining"`
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	state := readiness{Database: "ok", Redis: "ok", Draining: s.draining.Load()}
	if s.Database != nil {
		ctx, cancel := context.WithTimeout(r.Context(), statsTimeout)
		defer cancel()
		if err := s.Database(ctx); err != nil {
			state.Database = "unavailable"
		}
	}
	switch {
	case !s.Cache.Configured():
		state.Redis = "not configured"
	case !s.Cache.Available():
		state.Redis = "unavailable"
	}
	state.Ready = state.Database == "ok" && !state.Draining
	status := http.StatusOK
	if !state.Ready {
		status = http.StatusServiceUnavailable
	}
	s.sendJSON(w, r, answer{status: status, body: state})
}

// RequireLoopback refuses an address that others than this machine can reach:
// there is no login.
func RequireLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("the address %q is not HOST:PORT", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("the address %q is not on loopback: without a login ogcache answers only there; use 127.0.0.1 or [::1]", addr)
	}
	return nil
}

// drainPause lets load balancers see that the server is unready before it
// stops accepting.
const drainPause = 500 * time.Millisecond

// Serve answers on the listener until ctx ends. Then it becomes unready, hangs
// up its streams, finishes the requests under way for at most grace, and
// returns.
func (s *Server) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.Logger.Handler(), slog.LevelWarn),
	}
	live, end := context.WithCancel(context.Background())
	var background sync.WaitGroup
	background.Go(func() { s.dashboard.run(live) })
	defer background.Wait()
	defer end()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.draining.Store(true)
	select {
	case <-time.After(min(drainPause, grace/4)):
	case err := <-failed:
		return err
	}
	stopping, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	s.dashboard.close(stopping)
	if err := server.Shutdown(stopping); err != nil {
		server.Close()
		return fmt.Errorf("requests were cut off after %v: %w", grace, err)
	}
	return nil
}
