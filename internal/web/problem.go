package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/origin"
)

// problem is an RFC 9457 problem document. It is also the error that handlers
// return when they know the status themselves.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

func newProblem(status int, detail string) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

func (p *problem) Error() string { return p.Title + ": " + p.Detail }

// problemOf turns an error into what the client is told. Errors that are not
// the client's doing are told without detail, which may name internals.
func problemOf(err error) *problem {
	var known *problem
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &tooLarge):
		return newProblem(http.StatusRequestEntityTooLarge, "the request body is larger than 64 KiB")
	case errors.Is(err, origin.ErrUnauthorized):
		return newProblem(http.StatusUnauthorized, "the access token is missing, malformed, expired or revoked; send a valid one as a bearer token")
	case errors.Is(err, origin.ErrNotFound):
		return newProblem(http.StatusNotFound, "there is no such thing, or it is not yours")
	case errors.Is(err, origin.ErrConflict):
		return newProblem(http.StatusConflict, "another user has that Telegram id")
	case errors.Is(err, origin.ErrInvalid), errors.Is(err, families.ErrInvalidID), errors.Is(err, families.ErrUnknownPrefix):
		return newProblem(http.StatusBadRequest, err.Error())
	case errors.Is(err, agent.ErrCacheUnavailable):
		return newProblem(http.StatusServiceUnavailable, "Redis is not available: nothing was changed; reads are served from the database meanwhile")
	case errors.Is(err, instrumented.ErrOverloaded):
		return newProblem(http.StatusServiceUnavailable, "the database is busy: as many reads as allowed are running; try again shortly")
	case errors.Is(err, context.DeadlineExceeded):
		return newProblem(http.StatusGatewayTimeout, "the database did not answer in time")
	default:
		return newProblem(http.StatusInternalServerError, "the request failed; the server's log says why")
	}
}

// fail answers with a problem document and logs what the client is not told.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return // nobody is there to read it
	}
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError && !errors.Is(err, instrumented.ErrOverloaded) {
		s.Logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "route", r.Pattern, "status", p.Status, "error", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="ogcache"`)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "2")
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may have left
}
