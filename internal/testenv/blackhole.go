package testenv

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"
)

// Blackhole returns an address on loopback where connecting hangs: the kernel
// drops every SYN, as a firewall does.
func Blackhole(tb testing.TB) string {
	tb.Helper()
	h, err := newBlackhole("127.0.0.1:0")
	if err != nil {
		tb.Fatal("testenv: ", err)
	}
	tb.Cleanup(h.close)
	return h.listener.Addr().String()
}

// blackhole is a listener that accepts nothing and whose queue is full.
type blackhole struct {
	listener net.Listener
	queue    []net.Conn
}

func newBlackhole(addr string) (*blackhole, error) {
	h := &blackhole{}
	if err := h.open(addr); err != nil {
		h.close()
		return nil, fmt.Errorf("making %s drop connections: %w", addr, err)
	}
	return h, nil
}

func (h *blackhole) open(addr string) error {
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		return err
	}
	h.listener = l
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return err
	}
	// Listening once more changes the length of the queue.
	var refused error
	if err := raw.Control(func(fd uintptr) { refused = syscall.Listen(int(fd), 0) }); err != nil {
		return err
	}
	if refused != nil {
		return refused
	}
	// The kernel queues a few connections more than it was told.
	const most = 16
	for range most {
		conn, err := net.DialTimeout("tcp4", l.Addr().String(), 300*time.Millisecond)
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			return nil
		}
		if err != nil {
			return err
		}
		h.queue = append(h.queue, conn)
	}
	return fmt.Errorf("a queue of length 0 took %d connections", most)
}

func (h *blackhole) close() {
	if h.listener != nil {
		_ = h.listener.Close() // it carries no data
	}
	for _, conn := range h.queue {
		_ = conn.Close()
	}
}
