package instrumented

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oglab/ogcache/internal/families"
)

// tracking is the connection on which the server tells of changed keys
// (client-side caching in broadcasting mode, RESP3). Messages and the replies to
// PINGs come in one order, so once a PING is answered, every change that was
// made before it was sent has been told: that bounds how old near values are.
type tracking struct {
	redis    *Redis
	lifetime time.Duration // how old a near value may be
	near     map[*families.Family]*near
	lost     prometheus.Counter
	logger   *slog.Logger

	mu     sync.Mutex
	conn   net.Conn // the present one
	server string   // identity of the server that reads go to

	confirmed atomic.Int64 // when the last answered PING was sent, Unix nanoseconds; 0: not in use
}

// pingsPerLifetime is how often the server is asked within a near value's
// lifetime.
const pingsPerLifetime = 4

// inUse reports whether near values may be served at that time.
func (t *tracking) inUse(now time.Time) bool {
	return now.UnixNano()-t.confirmed.Load() <= int64(t.lifetime)
}

// staleness returns how old a near value can be now, 0 while none is served.
func (t *tracking) staleness() time.Duration {
	if t == nil || !t.inUse(time.Now()) {
		return 0
	}
	return time.Duration(time.Now().UnixNano() - t.confirmed.Load())
}

// met begins anew when reads go to another server than before.
func (t *tracking) met(identity string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if identity != t.server && t.conn != nil {
		t.conn.Close()
	}
	t.server = identity
}

// errNoTracking is returned for a server that refuses to track.
var errNoTracking = errors.New("the server refuses to tell of changes")

// run keeps a tracking connection open until ctx ends or the server refuses.
func (t *tracking) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := t.follow(ctx)
		if t.confirmed.Swap(0) != 0 {
			t.lost.Inc()
		}
		t.flush()
		if errors.Is(err, errNoTracking) {
			t.logger.Warn("the near caches are off", "error", err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(probeEvery):
		}
	}
}

func (t *tracking) flush() {
	for _, n := range t.near {
		n.flush()
	}
}

// follow connects, subscribes and takes in changes until the connection ends.
func (t *tracking) follow(ctx context.Context) error {
	conn, err := t.redis.connector.connect(ctx, "tcp", t.redis.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	t.mu.Lock()
	t.conn = conn
	t.mu.Unlock()
	r := bufio.NewReader(conn)
	if err := t.subscribe(conn, r); err != nil {
		return err
	}
	// What was asked for before the server began to tell must not be kept.
	t.flush()

	p := &pings{}
	var pinging sync.WaitGroup
	defer pinging.Wait()
	stopped := make(chan struct{})
	defer close(stopped)
	pinging.Go(func() { p.send(conn, max(t.lifetime/pingsPerLifetime, time.Millisecond), stopped) })
	for {
		if err := conn.SetReadDeadline(time.Now().Add(max(t.lifetime, dialTimeout))); err != nil {
			return err
		}
		message, err := readRESP3(r, 0)
		if err != nil {
			return err
		}
		if err := t.take(message, p); err != nil {
			return err
		}
	}
}

func (t *tracking) subscribe(conn net.Conn, r *bufio.Reader) error {
	if err := conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	who, err := t.redis.connector.identify(func(args ...string) (string, error) { return exchange(conn, r, args...) })
	if err != nil {
		return err
	}
	t.mu.Lock()
	elsewhere := t.server != "" && who.identity != t.server
	t.mu.Unlock()
	if elsewhere {
		return errors.New("the address leads to another server than reads go to")
	}
	hello := []string{"HELLO", "3"}
	track := []string{"CLIENT", "TRACKING", "ON", "BCAST"}
	for f := range t.near {
		track = append(track, "PREFIX", f.Prefix)
	}
	for _, command := range [][]string{hello, track} {
		if err := writeCommand(conn, command); err != nil {
			return err
		}
		reply, err := readRESP3(r, 0)
		if err != nil {
			return err
		}
		if refusal, refused := reply.(error); refused {
			if strings.HasPrefix(refusal.Error(), "LOADING") {
				return refusal
			}
			return fmt.Errorf("%w: %s: %w", errNoTracking, command[0], refusal)
		}
	}
	return conn.SetDeadline(time.Time{})
}

// take acts on one message: an invalidation, or the reply to a PING.
func (t *tracking) take(message any, p *pings) error {
	switch m := message.(type) {
	case string:
		sent, ok := p.answered()
		if !ok {
			return errors.New("a reply to nothing")
		}
		t.confirmed.Store(sent.UnixNano())
	case push:
		if len(m) != 2 || m[0] != "invalidate" {
			return nil
		}
		keys, ok := m[1].([]any)
		if !ok { // the whole database was flushed
			t.flush()
			return nil
		}
		for _, k := range keys {
			name, _ := k.(string)
			if f, ok := families.Of(name); ok {
				t.near[f].forget(strings.TrimPrefix(name, f.Prefix))
			}
		}
	case error:
		return m
	}
	return nil
}

// pings are the PINGs that have not been answered, oldest first.
type pings struct {
	mu   sync.Mutex
	sent []time.Time
}

// send asks the server again and again. It ends when writing fails, as it does
// once the connection is closed.
func (p *pings) send(conn net.Conn, every time.Duration, stopped <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		p.mu.Lock()
		p.sent = append(p.sent, time.Now())
		p.mu.Unlock()
		if conn.SetWriteDeadline(time.Now().Add(dialTimeout)) != nil || writeCommand(conn, []string{"PING"}) != nil {
			conn.Close()
			return
		}
		select {
		case <-stopped:
			return
		case <-tick.C:
		}
	}
}

func (p *pings) answered() (sent time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sent) == 0 {
		return sent, false
	}
	sent, p.sent = p.sent[0], p.sent[1:]
	return sent, true
}

// push is a message that the server sent of its own accord.
type push []any

const (
	maxRESP3Depth = 4
	maxRESP3Items = 1 << 16
	maxRESP3Text  = 1 << 20
)

// readRESP3 reads one value: a string, an error that the server replied, an
// int64, nil, a []any or a push.
func readRESP3(r *bufio.Reader, depth int) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" || depth > maxRESP3Depth {
		return nil, errors.New("not RESP3")
	}
	rest := line[1:]
	switch line[0] {
	case '+', '#', ',', '(':
		return rest, nil
	case '-':
		return errors.New(rest), nil
	case ':':
		return strconv.ParseInt(rest, 10, 64)
	case '_':
		return nil, nil
	}
	n, err := strconv.Atoi(rest)
	if err != nil || n > maxRESP3Text {
		return nil, fmt.Errorf("not RESP3: a length of %.20q", rest)
	}
	switch line[0] {
	case '$', '=', '!':
		if n < 0 {
			return nil, nil
		}
		text := make([]byte, n+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		return string(text[:n]), nil
	case '*', '~', '>', '%':
		if line[0] == '%' {
			n *= 2
		}
		if n < 0 {
			return nil, nil
		}
		if n > maxRESP3Items {
			return nil, fmt.Errorf("not RESP3: %d items", n)
		}
		var items []any
		for range n {
			item, err := readRESP3(r, depth+1)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		if line[0] == '>' {
			return push(items), nil
		}
		if items == nil {
			items = []any{}
		}
		return items, nil
	}
	return nil, fmt.Errorf("not RESP3: a value of type %q", line[0])
}
