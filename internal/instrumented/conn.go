package instrumented

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// trackedConn is a connection that can be found again by the deadline of the
// exchange that it served last: go-redis does not tell which connection a
// reply came over, but sets each exchange's own deadline on it.
type trackedConn struct {
	net.Conn
	by     atomic.Int64 // the deadline, Unix nanoseconds
	closed func()
	once   sync.Once
}

func (c *trackedConn) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		c.by.Store(t.UnixNano())
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *trackedConn) Close() error {
	c.once.Do(c.closed)
	return c.Conn.Close()
}

// trackedTCP lets the pool look for a connection that was closed by the peer.
type trackedTCP struct {
	*trackedConn
	raw syscall.Conn
}

func (c trackedTCP) SyscallConn() (syscall.RawConn, error) { return c.raw.SyscallConn() }

// connections are the open connections of a client.
type connections struct {
	mu   sync.Mutex
	open map[*trackedConn]struct{}
}

func (s *connections) track(conn net.Conn) net.Conn {
	c := &trackedConn{Conn: conn}
	c.closed = func() {
		s.mu.Lock()
		delete(s.open, c)
		s.mu.Unlock()
	}
	s.mu.Lock()
	if s.open == nil {
		s.open = make(map[*trackedConn]struct{})
	}
	s.open[c] = struct{}{}
	s.mu.Unlock()
	if raw, ok := conn.(*net.TCPConn); ok {
		return trackedTCP{c, raw}
	}
	return c
}

// closeBy closes the connection that served the exchange with that deadline.
func (s *connections) closeBy(deadline time.Time) {
	if deadline.IsZero() {
		return
	}
	var found []*trackedConn
	s.mu.Lock()
	for c := range s.open {
		if c.by.Load() == deadline.UnixNano() {
			found = append(found, c)
		}
	}
	s.mu.Unlock()
	for _, c := range found {
		c.Close()
	}
}
