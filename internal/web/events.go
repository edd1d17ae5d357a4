package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/oglab/ogcache/internal/views"
)

const (
	tickEvery     = time.Second
	maxViewers    = 64
	viewerBuffer  = 8               // messages that a viewer may lag behind
	writeDeadline = 5 * time.Second // for one message
)

var (
	errTooManyViewers = errors.New("too many pages watch the dashboard at once; close one and this one connects by itself")
	errHubClosed      = errors.New("the server is stopping")
)

// hub sends the parts of the overview that changed to everyone who watches it.
// It renders once a second, whatever the number of viewers, and not at all
// without any.
type hub struct {
	sample func() // takes the second's measurements; always called
	render func(context.Context) ([]views.Fragment, error)
	failed func(error) // told when rendering fails
	epoch  string      // differs between processes, so that no event id is taken for another's

	mu      sync.Mutex
	viewers map[*viewer]struct{}
	shown   []views.Fragment // what every viewer has
	version uint64           // of shown
	closed  bool
}

// viewer is one open stream. Its channel is closed when the hub drops it.
type viewer struct{ messages chan []byte }

func newHub(sample func(), render func(context.Context) ([]views.Fragment, error), failed func(error)) *hub {
	return &hub{
		sample: sample, render: render, failed: failed,
		epoch:   strconv.FormatInt(time.Now().UnixNano(), 36),
		viewers: make(map[*viewer]struct{}),
	}
}

// run measures and sends once a second until ctx ends, then hangs up.
func (h *hub) run(ctx context.Context) {
	defer h.close()
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			h.sample()
			h.tick(ctx)
		}
	}
}

// tick sends what changed since the last one, or a sign of life.
func (h *hub) tick(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.viewers) == 0 {
		return
	}
	changed, err := h.refresh(ctx)
	if err != nil {
		h.failed(err)
		return
	}
	message := aliveMessage
	if len(changed) > 0 {
		message = h.message(changed)
	}
	for v := range h.viewers {
		select {
		case v.messages <- message:
		default: // It comes back and gets everything.
			h.drop(v)
		}
	}
}

// refresh renders and returns the fragments that differ from what is shown.
func (h *hub) refresh(ctx context.Context) (changed []views.Fragment, err error) {
	now, err := h.render(ctx)
	if err != nil {
		return nil, err
	}
	before := make(map[string][]byte, len(h.shown))
	for _, f := range h.shown {
		before[f.ID] = f.HTML
	}
	for _, f := range now {
		if !bytes.Equal(before[f.ID], f.HTML) {
			changed = append(changed, f)
		}
	}
	if len(changed) > 0 {
		h.version++
	}
	h.shown = now
	return changed, nil
}

// join adds a viewer, whose first message is everything, or a sign of life if
// it has seen the present state already.
func (h *hub) join(ctx context.Context, lastSeen string) (*viewer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, errHubClosed
	case len(h.viewers) >= maxViewers:
		return nil, errTooManyViewers
	}
	if len(h.viewers) == 0 {
		if _, err := h.refresh(ctx); err != nil {
			return nil, err
		}
	}
	v := &viewer{messages: make(chan []byte, viewerBuffer)}
	if lastSeen == h.id() {
		v.messages <- aliveMessage
	} else {
		v.messages <- h.message(h.shown)
	}
	h.viewers[v] = struct{}{}
	return v, nil
}

func (h *hub) leave(v *viewer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(v)
}

func (h *hub) drop(v *viewer) {
	if _, watching := h.viewers[v]; watching {
		delete(h.viewers, v)
		close(v.messages)
	}
}

// close hangs up on every viewer and accepts no more.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for v := range h.viewers {
		h.drop(v)
	}
}

func (h *hub) id() string { return h.epoch + "-" + strconv.FormatUint(h.version, 10) }

// aliveMessage tells a page that its numbers are still right. A comment would
// not reach it.
var aliveMessage = []byte("event: alive\ndata: 1\n\n")

// message is one event with all the fragments, so that a page changes at once.
func (h *hub) message(fragments []views.Fragment) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "id: %s\n", h.id())
	for _, f := range fragments {
		for line := range bytes.Lines(f.Partial()) {
			b.WriteString("data: ")
			b.Write(bytes.TrimRight(line, "\r\n"))
			b.WriteByte('\n')
		}
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// serve is the stream of one viewer.
func (h *hub) serve(w http.ResponseWriter, r *http.Request) {
	v, err := h.join(r.Context(), r.Header.Get("Last-Event-ID"))
	if err != nil {
		if !errors.Is(err, errTooManyViewers) && !errors.Is(err, errHubClosed) {
			h.failed(err)
			err = errors.New("the overview could not be rendered; the server's log says why")
		}
		w.Header().Set("Retry-After", "5")
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer h.leave(v)

	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	stream := http.NewResponseController(w)
	// The server's read timeout would end the request's context.
	_ = stream.SetReadDeadline(time.Time{}) // not every writer has deadlines
	if _, err := fmt.Fprintf(w, "retry: %d\n", tickEvery.Milliseconds()); err != nil {
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case message, watching := <-v.messages:
			if !watching {
				return
			}
			_ = stream.SetWriteDeadline(time.Now().Add(writeDeadline))
			if _, err := w.Write(message); err != nil {
				return
			}
			if err := stream.Flush(); err != nil {
				return
			}
		}
	}
}
