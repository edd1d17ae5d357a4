package origin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

const (
	supabaseTimeout = 5 * time.Second
	// maxAuthBody bounds what is read of an answer: a user with their metadata.
	maxAuthBody = 1 << 20
)

// Supabase asks Supabase's auth service who is behind an access token. It is
// safe for concurrent use.
type Supabase struct {
	base, anonKey string
	client        *http.Client
}

// NewSupabase returns the auth service of a project, whose URL is like
// https://abc.supabase.co. A nil client means one with a timeout of 5 s.
func NewSupabase(baseURL, anonKey string, client *http.Client) *Supabase {
	own := http.Client{Timeout: supabaseTimeout}
	if client != nil {
		own = *client
	}
	// A redirect would carry the keys to another place.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Supabase{base: strings.TrimRight(baseURL, "/") + "/auth/v1", anonKey: anonKey, client: &own}
}

// Session returns who is behind an access token, until the token's own end. A
// token that the service refuses is ErrUnauthorized; that the service fails or
// does not answer is another error.
func (s *Supabase) Session(ctx context.Context, token string) (Session, error) {
	_, expiresAt, err := ParseToken(token, time.Now())
	if err != nil {
		return Session{}, err
	}
	answer, err := s.ask(ctx, http.MethodGet, "/user", token)
	if err != nil {
		return Session{}, err
	}
	if err := answer.err(); err != nil {
		return Session{}, err
	}
	var user struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(answer.body, &user); err != nil {
		return Session{}, fmt.Errorf("the auth service's answer is not a user in JSON of at most %d bytes", maxAuthBody)
	}
	if err := families.CheckID(user.ID); err != nil {
		return Session{}, fmt.Errorf("the auth service's user id: %w", err)
	}
	return Session{UserID: user.ID, ExpiresAt: expiresAt}, nil
}

// Revoke ends the token's session, and no other of the user. That it has ended
// already is no error.
func (s *Supabase) Revoke(ctx context.Context, token string) error {
	if _, _, err := ParseToken(token, time.Now()); err != nil {
		return err
	}
	answer, err := s.ask(ctx, http.MethodPost, "/logout?scope=local", token)
	if err != nil {
		return err
	}
	if answer.ended() {
		return nil
	}
	return answer.err()
}

type authAnswer struct {
	status int
	body   []byte
}

func (s *Supabase) ask(ctx context.Context, method, path, token string) (authAnswer, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.base+path, nil)
	if err != nil {
		return authAnswer{}, fmt.Errorf("the auth service's address: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("apikey", s.anonKey)
	r.Header.Set("Accept", "application/json")
	w, err := s.client.Do(r)
	if err != nil {
		return authAnswer{}, fmt.Errorf("asking the auth service: %w", err)
	}
	defer w.Body.Close()
	body, err := io.ReadAll(io.LimitReader(w.Body, maxAuthBody))
	if err != nil {
		return authAnswer{}, fmt.Errorf("reading the auth service's answer: %w", err)
	}
	return authAnswer{w.StatusCode, body}, nil
}

func (a authAnswer) err() error {
	switch {
	case a.status >= 200 && a.status < 300:
		return nil
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return fmt.Errorf("the auth service refused the token, or the project's apikey (HTTP %d): %w", a.status, ErrUnauthorized)
	default:
		return fmt.Errorf("the auth service answered with HTTP %d", a.status)
	}
}

// ended reports whether the service refused because the session is gone.
func (a authAnswer) ended() bool {
	if a.status < 400 || a.status >= 500 {
		return false
	}
	var problem struct {
		Code string `json:"error_code"`
	}
	if json.Unmarshal(a.body, &problem) != nil {
		return false
	}
	return problem.Code == "session_not_found" || problem.Code == "user_not_found"
}
