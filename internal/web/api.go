package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/oglab/ogcache/internal/origin"
)

// maxBody bounds every request body.
const maxBody = 64 << 10

// answer is what an endpoint of the application returns, to be sent as JSON.
type answer struct {
	status int // 0 is 200
	body   any // nil: no body
}

// endpoint makes a handler of one operation of the application. The operation
// is the name that its duration is recorded under.
func (s *Server) endpoint(operation string, do func(*http.Request) (answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		around, err := bypass(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		ctx, request := s.Cache.Start(r.Context(), operation, around)
		a, err := do(r.WithContext(ctx))
		request.End(ctx)
		h := w.Header()
		if lookups := request.Lookups(); len(lookups) > 0 {
			h.Set("Cache-Status", cacheStatus(lookups))
		}
		h.Set("Server-Timing", fmt.Sprintf("total;dur=%.3f, redis;dur=%.3f", milliseconds(time.Since(start)), milliseconds(request.Waited())))
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.sendJSON(w, r, a)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (s *Server) sendJSON(w http.ResponseWriter, r *http.Request, a answer) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	body, err := json.Marshal(a.body)
	if err != nil {
		s.fail(w, r, fmt.Errorf("encoding the answer: %w", err))
		return
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // the client may have left
}

// readJSON reads one JSON value with known fields only. The content type is
// not looked at: the guide's own calls send none.
func readJSON(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err
		}
		return newProblem(http.StatusBadRequest, "the body is not the JSON that is expected here: "+strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err
		}
		return newProblem(http.StatusBadRequest, "the body goes on after its JSON value")
	}
	return nil
}

func bearer(r *http.Request) (string, error) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", fmt.Errorf("no bearer token: %w", origin.ErrUnauthorized)
	}
	return strings.TrimSpace(token), nil
}

// user authenticates the request and returns whose it is.
func (s *Server) user(r *http.Request) (userID string, err error) {
	token, err := bearer(r)
	if err != nil {
		return "", err
	}
	session, err := s.Agent.Session(r.Context(), token)
	return session.UserID, err
}
