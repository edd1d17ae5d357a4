package bench

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// stub is a server without a network: a connection to it answers every GET
// with the same bytes at once, as a server that speaks RESP2 only.
type stub struct{ reply []byte }

func newStub(v []byte) *stub {
	return &stub{fmt.Appendf(nil, "$%d\r\n%s\r\n", len(v), v)}
}

func (s *stub) dial(context.Context, string, string) (net.Conn, error) {
	c := &stubConn{stub: s}
	c.ready.L = &c.mu
	return c, nil
}

type stubConn struct {
	stub *stub

	mu      sync.Mutex
	ready   sync.Cond
	pending []byte // answers not yet read; aliases the reply where it can
	closed  bool
}

// The commands that are answered by themselves, as clients send them, and the
// answers.
var (
	getCommand   = []byte("\r\nget\r\n")
	helloCommand = []byte("\r\nhello\r\n")
	pingCommand  = []byte("\r\nPING\r\n")

	okReply      = []byte("+OK\r\n")
	unknownReply = []byte("-ERR unknown command 'hello'\r\n")
	pongReply    = []byte("+PONG\r\n")
)

func (c *stubConn) Write(p []byte) (int, error) {
	reply := okReply
	switch {
	case bytes.Contains(p[:min(len(p), 16)], getCommand):
		reply = c.stub.reply
	case bytes.Contains(p, helloCommand):
		reply = unknownReply
	case bytes.Contains(bytes.ToUpper(p), pingCommand):
		reply = pongReply
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	if len(c.pending) == 0 {
		c.pending = reply[:len(reply):len(reply)]
	} else {
		c.pending = append(c.pending, reply...)
	}
	c.ready.Signal()
	return len(p), nil
}

func (c *stubConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) == 0 {
		if c.closed {
			return 0, net.ErrClosed
		}
		c.ready.Wait()
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

func (c *stubConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.ready.Broadcast()
	return nil
}

func (c *stubConn) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (c *stubConn) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// A stub answers at once, so no deadline passes.
func (c *stubConn) SetDeadline(time.Time) error      { return nil }
func (c *stubConn) SetReadDeadline(time.Time) error  { return nil }
func (c *stubConn) SetWriteDeadline(time.Time) error { return nil }
