package testenv

import (
	"net"
	"testing"
)

func TestFreePort(t *testing.T) {
	limit := ephemeralStart()
	for range 20 {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		if port < firstPort || port >= limit {
			t.Errorf("port %d, want one from %d up to %d", port, firstPort, limit-1)
		}
		l, err := net.Listen("tcp4", loopback(port))
		if err != nil {
			t.Fatalf("port %d is not free: %v", port, err)
		}
		l.Close()
	}
}
