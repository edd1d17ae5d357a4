package web

import (
	"context"
	"fmt"
	"net/http"

	"github.com/oglab/ogcache/internal/agent"
	"github.com/oglab/ogcache/internal/keyspace"
)

// cacheStats is the guide's answer to GET /api/cache, to the byte (R5).
type cacheStats struct {
	Available bool       `json:"available"`
	Stats     cacheSizes `json:"stats"`
	Message   string     `json:"message"`
}

type cacheSizes struct {
	TotalKeys   int64  `json:"totalKeys"`
	MemoryUsage string `json:"memoryUsage"`
	Available   bool   `json:"available"`
}

func (s *Server) cacheStatistics(w http.ResponseWriter, r *http.Request) {
	stats := cacheStats{Message: "Cache statistics retrieved", Stats: cacheSizes{MemoryUsage: "N/A"}}
	if server, err := s.redisServer(r.Context()); err == nil {
		stats.Available = true
		stats.Stats = cacheSizes{TotalKeys: server.TotalKeys, MemoryUsage: server.Memory, Available: true}
	}
	s.sendJSON(w, r, answer{body: stats})
}

func (s *Server) redisServer(ctx context.Context) (keyspace.Server, error) {
	if s.Keyspace == nil || !s.Cache.Available() {
		return keyspace.Server{}, agent.ErrCacheUnavailable
	}
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	return s.Keyspace.Server(ctx)
}

// cacheAnswer is the answer to a POST /api/cache that worked.
type cacheAnswer struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
}

func (s *Server) cacheAction(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	message, err := s.runCacheAction(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.sendJSON(w, r, answer{body: cacheAnswer{Success: true, Message: message}})
}

func (s *Server) runCacheAction(r *http.Request) (message string, err error) {
	var asked struct {
		Action string  `json:"action"`
		Prefix *string `json:"prefix"`
	}
	if err := readJSON(r, &asked); err != nil {
		return "", err
	}
	if asked.Prefix != nil && asked.Action != "clear-prefix" {
		return "", newProblem(http.StatusBadRequest, "only the action clear-prefix takes a prefix")
	}
	// An action once begun is carried through, whether or not the caller waits.
	ctx := context.WithoutCancel(r.Context())
	switch asked.Action {
	case "warmup":
		w, err := s.Agent.Warmup(ctx, agent.WarmupAll, nil)
		return fmt.Sprintf("Cache warmed up: %d entries loaded, %d were there", w.Loaded, w.Present), err
	case "warmup-menu":
		_, err := s.Agent.Warmup(ctx, agent.WarmupMenu, nil)
		return "Menu cache warmed up successfully", err
	case "clear":
		return s.clear(ctx, keyspace.Everything())
	case "clear-prefix":
		if asked.Prefix == nil {
			return "", newProblem(http.StatusBadRequest, "the action clear-prefix needs a prefix")
		}
		selection, err := keyspace.Prefix(*asked.Prefix)
		if err != nil {
			return "", err
		}
		return s.clear(ctx, selection)
	default:
		return "", newProblem(http.StatusBadRequest,
			"unknown action; known are warmup, warmup-menu, clear and clear-prefix")
	}
}

func (s *Server) clear(ctx context.Context, selection keyspace.Selection) (message string, err error) {
	if s.Keyspace == nil || !s.Cache.Available() {
		return "", agent.ErrCacheUnavailable
	}
	n, err := s.Keyspace.Clear(ctx, selection, nil)
	return fmt.Sprintf("Cache cleared: %d keys removed", n), err
}
