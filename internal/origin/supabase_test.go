package origin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// authService is Supabase's auth service as far as it is asked.
func authService(t *testing.T, status int, body string) (*Supabase, func() *http.Request) {
	t.Helper()
	asked := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		w.WriteHeader(status)
		w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	last := func() *http.Request {
		select {
		case r := <-asked:
			return r
		default:
			return nil
		}
	}
	return NewSupabase(server.URL+"/", "anon-key", nil), last
}

const supabaseUser = "5f0c9a1e-7a1b-4a55-9d6e-0c8f4f0a1b2c"

func supabaseToken(t *testing.T) string {
	t.Helper()
	return mustToken(t, issuer{secret: newSecret(), issuedAt: time.Now().Truncate(time.Second)}, supabaseUser, 1)
}

func checkAsked(t *testing.T, r *http.Request, method, uri, token string) {
	t.Helper()
	if r == nil {
		t.Fatal("the service was not asked")
	}
	if r.Method != method || r.RequestURI != uri {
		t.Errorf("asked %s %s", r.Method, r.RequestURI)
	}
	if r.Header.Get("Authorization") != "Bearer "+token || r.Header.Get("apikey") != "anon-key" {
		t.Error("token or apikey was not sent")
	}
}

func TestSupabaseSession(t *testing.T) {
	token := supabaseToken(t)
	s, asked := authService(t, 200, `{"id":"`+supabaseUser+`","aud":"authenticated","user_metadata":{"a":[1]}}`)
	session, err := s.Session(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	checkAsked(t, asked(), "GET", "/auth/v1/user", token)
	_, until, err := ParseToken(token, time.Now())
	if err != nil || session != (Session{UserID: supabaseUser, ExpiresAt: until}) {
		t.Errorf("session %+v, error %v", session, err)
	}
}

func TestSupabaseRefusals(t *testing.T) {
	token := supabaseToken(t)
	const gone = `{"code":403,"error_code":"session_not_found","msg":"it is gone"}`
	cases := map[string]struct {
		status                        int
		body                          string
		sessionRefused, revokeRefused bool // with ErrUnauthorized
		revoked                       bool
	}{
		"unauthorized":     {401, `{"message":"no"}`, true, true, false},
		"forbidden":        {403, `{"code":403,"error_code":"bad_jwt"}`, true, true, false},
		"session is gone":  {403, gone, true, false, true},
		"not found":        {404, `nothing here`, false, false, false},
		"rate limit":       {429, `{}`, false, false, false},
		"broken":           {500, gone, false, false, false},
		"away":             {503, ``, false, false, false},
		"no user":          {200, `{}`, false, false, true},
		"bad id":           {200, `{"id":"a b"}`, false, false, true},
		"no JSON":          {200, `<html>`, false, false, true},
		"endless metadata": {200, `{"id":"` + supabaseUser + `","x":"` + strings.Repeat("x", maxAuthBody) + `"}`, false, false, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, asked := authService(t, c.status, c.body)
			session, err := s.Session(t.Context(), token)
			if err == nil || errors.Is(err, ErrUnauthorized) != c.sessionRefused || session != (Session{}) {
				t.Errorf("session %+v, error %v", session, err)
			}
			if strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "anon-key") {
				t.Errorf("the error shows a secret: %v", err)
			}
			checkAsked(t, asked(), "GET", "/auth/v1/user", token)
			err = s.Revoke(t.Context(), token)
			if (err == nil) != c.revoked || errors.Is(err, ErrUnauthorized) != c.revokeRefused {
				t.Errorf("revoke: error %v", err)
			}
			checkAsked(t, asked(), "POST", "/auth/v1/logout?scope=local", token)
		})
	}
}

func TestSupabaseRevoke(t *testing.T) {
	token := supabaseToken(t)
	s, asked := authService(t, 204, "")
	if err := s.Revoke(t.Context(), token); err != nil {
		t.Error(err)
	}
	checkAsked(t, asked(), "POST", "/auth/v1/logout?scope=local", token)
}

func TestSupabaseIsNotAskedAboutNonsense(t *testing.T) {
	s, asked := authService(t, 200, `{"id":"`+supabaseUser+`"}`)
	old := mustToken(t, issuer{secret: newSecret(), issuedAt: time.Now().Add(-tokenLifetime)}, supabaseUser, 1)
	for _, token := range []string{"", "x", old} {
		if _, err := s.Session(t.Context(), token); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("error is %v", err)
		}
		if err := s.Revoke(t.Context(), token); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("error is %v", err)
		}
	}
	if asked() != nil {
		t.Error("the service was asked")
	}
}

func TestSupabaseFollowsNoRedirect(t *testing.T) {
	other, asked := authService(t, 200, `{"id":"`+supabaseUser+`"}`)
	server := httptest.NewServer(http.RedirectHandler(other.base+"/user", http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	if _, err := NewSupabase(server.URL, "anon-key", nil).Session(t.Context(), supabaseToken(t)); err == nil {
		t.Error("no error")
	}
	if asked() != nil {
		t.Error("the keys were sent to another place")
	}
}

func TestSupabaseAway(t *testing.T) {
	token := supabaseToken(t)
	hung := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-hung }))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s := NewSupabase(server.URL, "anon-key", nil)
	if _, err := s.Session(ctx, token); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnauthorized) {
		t.Errorf("hung: error is %v", err)
	}
	s = NewSupabase(server.URL, "anon-key", &http.Client{Timeout: 50 * time.Millisecond})
	if err := s.Revoke(t.Context(), token); err == nil || errors.Is(err, ErrUnauthorized) {
		t.Errorf("hung: error is %v", err)
	}
	close(hung)
	server.Close()
	if _, err := s.Session(t.Context(), token); err == nil || errors.Is(err, ErrUnauthorized) {
		t.Errorf("refused: error is %v", err)
	} else if strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "anon-key") {
		t.Errorf("the error shows a secret: %v", err)
	}
}
