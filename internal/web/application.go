package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"

	"github.com/oglab/ogcache/internal/origin"
)

func (s *Server) session(r *http.Request) (answer, error) {
	token, err := bearer(r)
	if err != nil {
		return answer{}, err
	}
	session, err := s.Agent.Session(r.Context(), token)
	return answer{body: session}, err
}

func (s *Server) logout(r *http.Request) (answer, error) {
	token, err := bearer(r)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, s.Agent.Logout(r.Context(), token)
}

func (s *Server) profile(r *http.Request) (answer, error) {
	user, err := s.user(r)
	if err != nil {
		return answer{}, err
	}
	p, err := s.Agent.Profile(r.Context(), user)
	return answer{body: p}, err
}

func (s *Server) updateProfile(r *http.Request) (answer, error) {
	user, err := s.user(r)
	if err != nil {
		return answer{}, err
	}
	var patch origin.ProfilePatch
	if err := readJSON(r, &patch); err != nil {
		return answer{}, err
	}
	p, err := s.Agent.UpdateProfile(r.Context(), user, patch)
	return answer{body: p}, err
}

// telegram looks a profile up by Telegram id: a user their own, a service any.
func (s *Server) telegram(r *http.Request) (answer, error) {
	user, service := "", s.isService(r)
	if !service {
		var err error
		if user, err = s.user(r); err != nil {
			return answer{}, err
		}
	}
	p, err := s.Agent.ProfileByTelegram(r.Context(), r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	if !service && p.UserID != user {
		return answer{}, fmt.Errorf("telegram profile: %w", origin.ErrNotFound)
	}
	return answer{body: p}, nil
}

// isService reports whether the request bears the service token, compared in
// constant time.
func (s *Server) isService(r *http.Request) bool {
	token, err := bearer(r)
	if err != nil || s.ServiceToken == "" {
		return false
	}
	given, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(s.ServiceToken))
	return subtle.ConstantTimeCompare(given[:], want[:]) == 1
}

func (s *Server) conversations(r *http.Request) (answer, error) {
	user, err := s.user(r)
	if err != nil {
		return answer{}, err
	}
	list, err := s.Agent.Conversations(r.Context(), user)
	if list == nil {
		list = []origin.ConversationSummary{}
	}
	return answer{body: list}, err
}

func (s *Server) conversation(r *http.Request) (answer, error) {
	user, err := s.user(r)
	if err != nil {
		return answer{}, err
	}
	c, err := s.Agent.Conversation(r.Context(), user, r.PathValue("id"))
	return answer{body: c}, err
}

func (s *Server) addMessage(r *http.Request) (answer, error) {
	user, err := s.user(r)
	if err != nil {
		return answer{}, err
	}
	var message struct {
		Text string `json:"text"`
	}
	if err := readJSON(r, &message); err != nil {
		return answer{}, err
	}
	m, err := s.Agent.AddMessage(r.Context(), user, r.PathValue("id"), message.Text)
	return answer{status: http.StatusCreated, body: m}, err
}

func (s *Server) menu(r *http.Request) (answer, error) {
	items, err := s.Agent.Menu(r.Context())
	return answer{body: items}, err
}

func (s *Server) agentContext(r *http.Request) (answer, error) {
	user, err := s.user(r)
	if err != nil {
		return answer{}, err
	}
	c, err := s.Agent.Context(r.Context(), user)
	return answer{body: c}, err
}

func (s *Server) bootstrap(r *http.Request) (answer, error) {
	token, err := bearer(r)
	if err != nil {
		return answer{}, err
	}
	b, err := s.Agent.Bootstrap(r.Context(), token)
	return answer{body: b}, err
}
