package testenv

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
)

const firstPort = 10000

// freePort returns a loopback port that nothing listens on. It lies below the
// ports that the kernel hands to outgoing connections: those could take it
// while a server is down that has to come back on it.
func freePort() (int, error) {
	end := ephemeralStart()
	for range 200 {
		port := firstPort + rand.IntN(end-firstPort)
		l, err := net.Listen("tcp4", loopback(port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return 0, err
		}
		return port, nil
	}
	return 0, fmt.Errorf("no free port between %d and %d after 200 tries", firstPort, end)
}

func ephemeralStart() int {
	const usual = 32768
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return usual
	}
	var first, last int
	if _, err := fmt.Sscan(string(b), &first, &last); err != nil || first < firstPort+1000 {
		return usual
	}
	return first
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
