package web

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oglab/ogcache/internal/views"
)

// stage is what a hub under test renders.
type stage struct {
	mu             sync.Mutex
	numbers, state string
	samples        int
	err            error
}

// show changes the numbers while a hub runs.
func (s *stage) show(numbers string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.numbers = numbers
}

func (s *stage) hub(t *testing.T) *hub {
	return newHub(func() { s.samples++ }, func(context.Context) ([]views.Fragment, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return []views.Fragment{{ID: "numbers", HTML: []byte(s.numbers)}, {ID: "state", HTML: []byte(s.state)}}, s.err
	}, func(err error) {
		if s.err == nil {
			t.Errorf("rendering failed: %v", err)
		}
	})
}

func join(t *testing.T, h *hub, lastSeen string) *viewer {
	t.Helper()
	v, err := h.join(t.Context(), lastSeen)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestHubSendsEverythingThenWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{numbers: "<p>1\n2</p>", state: "fine"}
		h := s.hub(t)
		ctx, stop := context.WithCancel(t.Context())
		go h.run(ctx)
		v := join(t, h, "")
		first := string(<-v.messages)
		for _, want := range []string{`hx-target="#numbers"`, "data: 2</p>", `hx-target="#state"`, "id: "} {
			if !strings.Contains(first, want) {
				t.Errorf("the first message lacks %q: %q", want, first)
			}
		}
		if alive := string(<-v.messages); alive != string(aliveMessage) {
			t.Errorf("nothing changed, yet %q was sent", alive)
		}
		s.show("3")
		changed := string(<-v.messages)
		if !strings.Contains(changed, ">3<") || strings.Contains(changed, "fine") {
			t.Errorf("want the numbers alone, got %q", changed)
		}
		stop()
		synctest.Wait()
		if _, watching := <-v.messages; watching {
			t.Error("the viewer was not hung up on when the server stopped")
		}
		if _, err := h.join(t.Context(), ""); !errors.Is(err, errHubClosed) {
			t.Errorf("joining a closed hub: %v", err)
		}
		if s.samples != 2 {
			t.Errorf("%d samples in 2 s", s.samples)
		}
	})
}

func TestHubSkipsWhatAViewerHasSeen(t *testing.T) {
	s := &stage{numbers: "1"}
	h := s.hub(t)
	h.leave(join(t, h, ""))
	if got := string(<-join(t, h, h.id()).messages); got != string(aliveMessage) {
		t.Errorf("the present state was sent again: %q", got)
	}
	if got := string(<-join(t, h, "another-process-1").messages); !strings.Contains(got, "#numbers") {
		t.Errorf("an id of another process was trusted: %q", got)
	}
}

func TestHubDropsASlowViewer(t *testing.T) {
	s := &stage{}
	h := s.hub(t)
	slow, quick := join(t, h, ""), join(t, h, "")
	<-quick.messages
	for i := range viewerBuffer + 1 {
		s.numbers = strings.Repeat("x", i+1)
		h.tick(t.Context())
		if _, watching := <-quick.messages; !watching {
			t.Fatal("the quick viewer was dropped")
		}
	}
	for range viewerBuffer {
		<-slow.messages
	}
	select {
	case _, watching := <-slow.messages:
		if watching {
			t.Error("the slow viewer was sent more than its buffer holds")
		}
	default:
		t.Error("the slow viewer was not dropped")
	}
	h.leave(slow) // as its handler does; must not close twice
}

func TestHubRefusesTooManyViewers(t *testing.T) {
	h := (&stage{}).hub(t)
	for range maxViewers {
		join(t, h, "")
	}
	w := httptest.NewRecorder()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	h.serve(w, httptest.NewRequestWithContext(gone, "GET", "/events", nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d, headers %v", w.Code, w.Header())
	}
}

func TestHubSurvivesAFailedRender(t *testing.T) {
	s := &stage{numbers: "1"}
	h := s.hub(t)
	v := join(t, h, "")
	<-v.messages
	s.err = errors.New("broken")
	h.tick(t.Context())
	s.err, s.numbers = nil, "2"
	h.tick(t.Context())
	if got := string(<-v.messages); !strings.Contains(got, ">2<") {
		t.Errorf("got %q", got)
	}
}

func TestStreamOverHTTPEndsWithTheHub(t *testing.T) {
	h := (&stage{numbers: "1"}).hub(t)
	server := httptest.NewServer(http.HandlerFunc(h.serve))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	lines := bufio.NewScanner(response.Body)
	var got []string
	for lines.Scan() {
		got = append(got, lines.Text())
		if strings.Contains(lines.Text(), "#state") {
			h.close()
		}
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream did not end cleanly: %v", err)
	}
	if len(got) < 4 || got[0] != "retry: 1000" {
		t.Errorf("stream %q", got)
	}
}
