package instrumented

import (
	"bytes"
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
	server server       // as it was greeted
	closed func()
	once   sync.Once
}

func (c *trackedConn) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		c.by.Store(t.UnixNano())
	}
	return c.Conn.SetReadDeadline(t)
}

// Write refuses keys to a connection that was made to a replica: it may have
// become a master since, which only a new connection tells.
func (c *trackedConn) Write(b []byte) (int, error) {
	if c.server.role == "slave" && !bytes.Contains(b, []byte("\r\ncluster\r\n")) && !bytes.Contains(b, []byte("\r\nping\r\n")) {
		return 0, errReplica
	}
	return c.Conn.Write(b)
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

func (s *connections) track(conn net.Conn, to server) net.Conn {
	c := &trackedConn{Conn: conn, server: to}
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
	if !deadline.IsZero() {
		s.closeWhere(func(c *trackedConn) bool { return c.by.Load() == deadline.UnixNano() })
	}
}

func (s *connections) closeWhere(unwanted func(*trackedConn) bool) {
	var found []*trackedConn
	s.mu.Lock()
	for c := range s.open {
		if unwanted(c) {
			found = append(found, c)
		}
	}
	s.mu.Unlock()
	for _, c := range found {
		c.Close()
	}
}
