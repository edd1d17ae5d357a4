package testenv

import (
	"bufio"
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// Faults are what a Proxy does to the connections through it. The zero value
// does nothing.
type Faults struct {
	// Refuse closes the port: connections are cut and new ones refused.
	Refuse bool
	// Drop loses every packet: connections go silent, connecting hangs.
	Drop bool
	// Stall accepts connections and passes nothing on, in neither direction.
	Stall bool
	// Delay is added to every reply; replies of one pipeline share it.
	Delay time.Duration
	// Cut passes so many bytes of a reply on and then closes the connection.
	Cut int
	// Hold passes so many bytes of a reply on and the rest when the faults change.
	Hold int
	// Corrupt is the share of the replies with a bulk string in which one bit
	// of one bulk string is flipped.
	Corrupt float64
	// Swap is the share of the bulk string replies that change places with
	// that of another connection, where there is one within a few milliseconds.
	Swap float64
}

// Proxy passes connections on to a Redis server, without TLS, and spoils them
// as told. Its methods may be called from any goroutine.
type Proxy struct {
	// Addr is host:port on loopback, the same through all faults.
	Addr string

	target string
	offers chan offer // of replies to swap
	ctx    context.Context
	served sync.WaitGroup

	setting sync.Mutex // held while the faults are changed

	mu      sync.Mutex
	random  *rand.Rand
	faults  Faults
	changed chan struct{} // closed and replaced when the faults change
	spoilt  int
	conns   map[net.Conn]struct{}
	closing bool
	stop    func() // ends what is behind the port at present
}

// NewProxy starts a proxy in front of target (host:port). What it spoils
// follows from the seed and from the order in which replies come.
func NewProxy(tb testing.TB, target string, seed uint64) *Proxy {
	tb.Helper()
	port, err := freePort()
	if err != nil {
		tb.Fatal("testenv: proxy: ", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{
		Addr: loopback(port), target: target, offers: make(chan offer), ctx: ctx,
		random: rand.New(rand.NewPCG(seed, 0)), changed: make(chan struct{}),
		conns: map[net.Conn]struct{}{}, stop: func() {},
	}
	tb.Cleanup(func() {
		cancel()
		p.mu.Lock()
		p.closing = true
		p.mu.Unlock()
		p.setting.Lock()
		p.stop()
		p.setting.Unlock()
		p.CutConnections()
		p.served.Wait()
	})
	if err := p.listen(); err != nil {
		tb.Fatal("testenv: proxy: ", err)
	}
	return p
}

// Set replaces the faults. Connections see the new ones from their next reply
// on. It fails when the port cannot be opened or closed as asked.
func (p *Proxy) Set(f Faults) error {
	p.setting.Lock()
	defer p.setting.Unlock()
	p.mu.Lock()
	before := p.faults
	p.faults = f
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()

	if f.Refuse != before.Refuse || f.Drop != before.Drop {
		p.stop()
		p.stop = func() {}
		switch {
		case f.Refuse:
		case f.Drop:
			hole, err := newBlackhole(p.Addr)
			if err != nil {
				return err
			}
			p.stop = hole.close
		default:
			if err := p.listen(); err != nil {
				return err
			}
		}
	}
	if f.Refuse {
		p.CutConnections()
	}
	return nil
}

// CutConnections closes every connection at once; new ones are welcome.
func (p *Proxy) CutConnections() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close() // whoever uses it sees the error
	}
}

// Spoilt returns how many replies were cut, held, corrupted or swapped so far.
func (p *Proxy) Spoilt() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spoilt
}

func (p *Proxy) listen() error {
	l, err := net.Listen("tcp4", p.Addr)
	if err != nil {
		return err
	}
	p.stop = func() { _ = l.Close() } // a listener that is gone is what is asked for
	p.served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.served.Go(func() { p.serve(conn) })
		}
	})
	return nil
}

// serve passes one connection on until either side ends.
func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(p.ctx, "tcp4", p.target)
	if err != nil {
		return // the client sees its connection closed
	}
	defer server.Close()
	if !p.track(client, server) {
		return
	}
	defer p.forget(client, server)

	replies := make(chan delayed, 1024)
	var pumps sync.WaitGroup
	end := func() { client.Close(); server.Close() }
	pumps.Go(func() { defer end(); p.passCommands(client, server) })
	pumps.Go(func() { defer close(replies); p.takeReplies(bufio.NewReader(server), replies) })
	pumps.Go(func() {
		defer func() {
			end()
			for range replies { // lets takeReplies come to its end
			}
		}()
		p.passReplies(client, replies)
	})
	pumps.Wait()
}

func (p *Proxy) track(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing || p.faults.Refuse {
		return false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return true
}

func (p *Proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}
