package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/a-h/templ"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/keyspace"
	"github.com/oglab/ogcache/internal/views"
)

// countTimeout bounds the count that a confirmation shows.
const countTimeout = 10 * time.Second

// dashboard is the overview page, its stream and its actions.
type dashboard struct {
	assets   *assets
	overview *overview
	hub      *hub
	actions  *actions
	cache    interface{ Available() bool }
	logger   *slog.Logger
}

// newDashboard wires the page. keys is nil when no Redis is configured, and
// database when it cannot be away.
func newDashboard(cache *instrumented.Cache, app *agent.Agent, keys *keyspace.Reader,
	database func(context.Context) error, surroundings views.Surroundings, logger *slog.Logger) (*dashboard, error) {
	files, err := newAssets(views.Static())
	if err != nil {
		return nil, err
	}
	d := &dashboard{assets: files, cache: cache, logger: logger}
	if keys == nil {
		// A nil pointer in an interface would not be nil.
		d.actions = newActions(app, nil, logger)
		d.overview = newOverview(cache, nil, database, surroundings, d.actions.current)
	} else {
		d.actions = newActions(app, keys, logger)
		d.overview = newOverview(cache, keys, database, surroundings, d.actions.current)
	}
	d.hub = newHub(d.overview.sample,
		func(ctx context.Context) ([]views.Fragment, error) { return d.overview.current().Fragments(ctx) },
		func(err error) { logger.Error("the live overview could not be rendered", "error", err) })
	return d, nil
}

// run measures and sends until ctx ends, then hangs up on everyone who watches.
func (d *dashboard) run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { d.overview.watch(ctx) })
	both.Go(func() { d.hub.run(ctx) })
	both.Wait()
}

// close hangs up on everyone who watches and ends the running action, for which
// it waits until ctx ends.
func (d *dashboard) close(ctx context.Context) {
	d.hub.close()
	d.actions.close(ctx)
}

func (d *dashboard) routes() []route {
	return []route{
		{"GET /{$}", d.page},
		{"GET /events", d.hub.serve},
		{"GET " + assetPrefix, d.assets.serve},
		{"POST /actions/warmup", d.starting("Warm up everything", d.actions.warmup(agent.WarmupAll))},
		{"POST /actions/warmup-menu", d.starting("Warm up menu", d.actions.warmup(agent.WarmupMenu))},
		{"GET /actions/clear", d.askClear},
		{"POST /actions/clear", d.clear},
		{"POST /actions/cancel", d.cancel},
	}
}

func (d *dashboard) page(w http.ResponseWriter, r *http.Request) {
	d.render(w, r, http.StatusOK, views.Page(d.overview.current(), clearable(), d.assets.forPages()))
}

// starting is the handler that starts an action which needs no confirmation.
func (d *dashboard) starting(title string, do task) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { d.start(w, r, title, do) }
}

func (d *dashboard) start(w http.ResponseWriter, r *http.Request, title string, do task) {
	if d.actions.keys == nil {
		d.refuse(w, r, http.StatusConflict, title, "No Redis is configured, so there is nothing to warm up or to clear.")
		return
	}
	if err := d.actions.start(r.Context(), title, do); err != nil {
		var busy busyError
		if errors.As(err, &busy) {
			d.refuse(w, r, http.StatusConflict, title, err.Error())
			return
		}
		d.refuse(w, r, http.StatusServiceUnavailable, title, err.Error()+".")
		return
	}
	d.showAction(w, r)
}

// showAction answers htmx with the action's state, and other browsers with the
// page, to be fetched anew.
func (d *dashboard) showAction(w http.ResponseWriter, r *http.Request) {
	if fromHtmx(r) {
		d.render(w, r, http.StatusOK, views.ActionStatus(d.actions.current()))
		return
	}
	http.Redirect(w, r, "/#actions", http.StatusSeeOther)
}

// refuse says why an action was not started: to htmx in the dialog, because the
// place of the action's state belongs to the one that runs.
func (d *dashboard) refuse(w http.ResponseWriter, r *http.Request, status int, title, reason string) {
	w.Header().Set("HX-Retarget", "#confirm")
	w.Header().Set("HX-Reswap", "innerHTML")
	d.dialog(w, r, status, title, views.Refusal(title+" was not started", reason))
}

// askClear says how many keys a clear would remove, and asks.
func (d *dashboard) askClear(w http.ResponseWriter, r *http.Request) {
	c, err := choiceOf(r.URL.Query())
	if err != nil {
		d.dialog(w, r, http.StatusBadRequest, "Clear", views.Refusal("That cannot be cleared", sentence(err)))
		return
	}
	if d.actions.keys == nil || !d.cache.Available() {
		d.dialog(w, r, http.StatusServiceUnavailable, "Clear", views.Refusal("Redis is not available",
			"Its keys cannot be counted or cleared now. Reads are served from the database."))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), countTimeout)
	defer cancel()
	count, err := d.actions.keys.Count(ctx, c.keys)
	if err != nil {
		d.logger.ErrorContext(r.Context(), "counting keys to clear failed", "error", err)
		d.dialog(w, r, http.StatusServiceUnavailable, "Clear", views.Refusal("The keys could not be counted",
			"Redis did not answer, or not in time. Nothing was removed."))
		return
	}
	snapshot, scanned := d.actions.keys.Latest()
	d.dialog(w, r, http.StatusOK, "Clear", views.Confirmation(c.confirmation(count, snapshot, scanned)))
}

// clear removes what was confirmed. Without a confirmation it asks for one.
func (d *dashboard) clear(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		d.refuse(w, r, http.StatusBadRequest, "Clear", "The form could not be read: it is larger than 64 KiB or damaged.")
		return
	}
	c, err := choiceOf(r.PostForm)
	if err != nil {
		d.refuse(w, r, http.StatusBadRequest, "Clear", sentence(err))
		return
	}
	if r.PostForm.Get("confirmed") != "yes" {
		http.Redirect(w, r, "/actions/clear?"+r.PostForm.Encode(), http.StatusSeeOther)
		return
	}
	d.start(w, r, "Clear "+c.title, d.actions.clearing(c.keys))
}

func (d *dashboard) cancel(w http.ResponseWriter, r *http.Request) {
	d.actions.abort(r.Context(), errCancelled)
	d.showAction(w, r)
}

// dialog answers htmx with the body alone, and other browsers with a page.
func (d *dashboard) dialog(w http.ResponseWriter, r *http.Request, status int, title string, body templ.Component) {
	if !fromHtmx(r) {
		body = views.Dialog(title, body, d.assets.forPages())
	}
	d.render(w, r, status, body)
}

func (d *dashboard) render(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "HX-Request")
	templ.Handler(c, templ.WithStatus(status), templ.WithErrorHandler(func(r *http.Request, err error) http.Handler {
		d.logger.ErrorContext(r.Context(), "a page could not be rendered", "route", r.Pattern, "error", err)
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "The page could not be rendered; the server's log says why.", http.StatusInternalServerError)
		})
	})).ServeHTTP(w, r)
}

func fromHtmx(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }

// sentence makes an error of this page's own forms readable on its own.
func sentence(err error) string {
	if errors.Is(err, families.ErrUnknownPrefix) {
		return "That prefix is not one of ogcache’s. " + knownPrefixes()
	}
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

func knownPrefixes() string {
	text := "Known are "
	for i, f := range families.All() {
		if i > 0 {
			text += ", "
		}
		text += f.Prefix + f.Single
	}
	return text + ", and what continues or groups them."
}
