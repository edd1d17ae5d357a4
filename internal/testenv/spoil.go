package testenv

import (
	"bufio"
	"bytes"
	"net"
	"time"
)

// swapPatience is how long a reply waits for another to change places with.
const swapPatience = 10 * time.Millisecond

// delayed is a reply and when it may be passed on.
type delayed struct {
	reply
	due time.Time
}

// offer is a reply that may be swapped for the one that comes back.
type offer struct {
	reply reply
	back  chan reply
}

// flowing waits until something may be passed on and returns the faults at
// that time. It is false when the proxy ends.
func (p *Proxy) flowing() (f Faults, changed <-chan struct{}, ok bool) {
	for {
		p.mu.Lock()
		f, changed = p.faults, p.changed
		p.mu.Unlock()
		if !f.Stall && !f.Drop {
			return f, changed, p.ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-p.ctx.Done():
			return f, changed, false
		}
	}
}

func (p *Proxy) passCommands(client, server net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := client.Read(buffer)
		if n > 0 {
			if _, _, ok := p.flowing(); !ok {
				return
			}
			if _, err := server.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) takeReplies(in *bufio.Reader, out chan<- delayed) {
	for {
		r, err := readReply(in)
		if err != nil {
			return
		}
		p.mu.Lock()
		due := time.Now().Add(p.faults.Delay)
		p.mu.Unlock()
		out <- delayed{r, due}
	}
}

func (p *Proxy) passReplies(client net.Conn, replies <-chan delayed) {
	for r := range replies {
		if wait := time.Until(r.due); wait > 0 {
			select {
			case <-time.After(wait):
			case <-p.ctx.Done():
				return
			}
		}
		f, changed, ok := p.flowing()
		if !ok || !p.pass(client, r.reply, f, changed) {
			return
		}
	}
}

// pass writes one reply, or what the faults make of it. It is false when the
// connection is to be closed.
func (p *Proxy) pass(client net.Conn, r reply, f Faults, changed <-chan struct{}) bool {
	if r.isBulk() && p.chosen(f.Swap) {
		r = p.swap(r)
	}
	if len(r.payloads) > 0 && p.chosen(f.Corrupt) {
		r = p.corrupt(r)
	}
	whole := r.bytes
	if at := f.Cut + f.Hold; at > 0 && at < len(whole) {
		if _, err := client.Write(whole[:at]); err != nil {
			return false
		}
		p.count()
		if f.Cut > 0 {
			return false
		}
		select {
		case <-changed:
		case <-p.ctx.Done():
			return false
		}
		whole = whole[at:]
	}
	_, err := client.Write(whole)
	return err == nil
}

func (p *Proxy) chosen(share float64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return share > 0 && p.random.Float64() < share
}

func (p *Proxy) count() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spoilt++
}

func (p *Proxy) corrupt(r reply) reply {
	p.count()
	p.mu.Lock()
	where := r.payloads[p.random.IntN(len(r.payloads))]
	at := where.start + p.random.IntN(where.end-where.start)
	bit := p.random.IntN(8)
	p.mu.Unlock()
	r.bytes = bytes.Clone(r.bytes)
	r.bytes[at] ^= 1 << bit
	return r
}

func (p *Proxy) swap(r reply) reply {
	mine := offer{r, make(chan reply, 1)}
	select {
	case other := <-p.offers:
		other.back <- r
		p.count()
		return other.reply
	case p.offers <- mine:
		p.count()
		return <-mine.back
	case <-time.After(swapPatience):
		return r
	}
}
