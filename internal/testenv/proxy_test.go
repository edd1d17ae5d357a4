package testenv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func set(t *testing.T, p *Proxy, f Faults) {
	t.Helper()
	if err := p.Set(f); err != nil {
		t.Fatal(err)
	}
}

// get asks for a key over a connection of its own and returns the raw reply,
// as much as comes within the patience.
func get(addr, key string, patience time.Duration) (string, error) {
	conn, err := net.DialTimeout("tcp4", addr, patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "GET %s\r\nQUIT\r\n", key); err != nil {
		return "", err
	}
	got, err := io.ReadAll(conn)
	return strings.TrimSuffix(string(got), "+OK\r\n"), err
}

func proxied(t *testing.T) *Proxy {
	t.Helper()
	s := Redis(t)
	client := s.Client(t)
	for _, k := range []string{"a", "b"} {
		if err := client.Set(t.Context(), k, strings.Repeat(k, 100), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	return NewProxy(t, s.Addr, 1)
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

func TestProxyFaultsBeginAndEnd(t *testing.T) {
	t.Parallel()
	whole := bulk(strings.Repeat("a", 100))
	silence := func(got string, err error) bool { return got == "" && errors.Is(err, os.ErrDeadlineExceeded) }
	for name, tt := range map[string]struct {
		faults Faults
		as     func(got string, err error) bool
	}{
		"refused": {Faults{Refuse: true}, func(_ string, err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
		"dropped": {Faults{Drop: true}, func(_ string, err error) bool {
			return timedOutDialling(err)
		}},
		"stalled": {Faults{Stall: true}, silence},
		"cut":     {Faults{Cut: 3}, func(got string, _ error) bool { return got == whole[:3] }},
		"held": {Faults{Hold: 3}, func(got string, err error) bool {
			return got == whole[:3] && errors.Is(err, os.ErrDeadlineExceeded)
		}},
		"late": {Faults{Delay: time.Minute}, silence},
		"corrupt": {Faults{Corrupt: 1}, func(got string, err error) bool {
			return err == nil && len(got) == len(whole) && got != whole && strings.HasPrefix(got, "$100\r\n") && strings.HasSuffix(got, "\r\n")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := proxied(t)
			for range 2 {
				if got, err := get(p.Addr, "a", long); got != whole || err != nil {
					t.Fatalf("without faults: got %q, %v", got, err)
				}
				set(t, p, tt.faults)
				if got, err := get(p.Addr, "a", 300*time.Millisecond); !tt.as(got, err) {
					t.Errorf("got %q, %v", got, err)
				}
				set(t, p, Faults{})
			}
		})
	}
}

func TestProxyReleasesWhatItHeld(t *testing.T) {
	t.Parallel()
	p := proxied(t)
	set(t, p, Faults{Hold: 10})
	got := make(chan string)
	go func() {
		reply, err := get(p.Addr, "a", long)
		got <- fmt.Sprint(reply, err)
	}()
	for p.Spoilt() == 0 {
		select {
		case early := <-got:
			t.Fatalf("not held: %q", early)
		case <-time.After(time.Millisecond):
		}
	}
	set(t, p, Faults{})
	if reply := <-got; reply != bulk(strings.Repeat("a", 100))+"<nil>" {
		t.Errorf("got %q", reply)
	}
}

func TestProxyCutsConnections(t *testing.T) {
	t.Parallel()
	p := proxied(t)
	conn, err := net.Dial("tcp4", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		t.Fatal(err)
	}
	replies := bufio.NewReader(conn)
	if line, err := replies.ReadString('\n'); line != "+PONG\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	p.CutConnections()
	if line, err := replies.ReadString('\n'); err == nil || line != "" {
		t.Errorf("after the cut: got %q, %v", line, err)
	}
	if got, err := get(p.Addr, "a", long); err != nil || got == "" {
		t.Errorf("a new connection: got %q, %v", got, err)
	}
}

func TestProxySwapsReplies(t *testing.T) {
	t.Parallel()
	p := proxied(t)
	set(t, p, Faults{Swap: 1})
	// Only those that wait at the same time can change places.
	for try := 0; p.Spoilt() == 0; try++ {
		if try == 1000 {
			t.Fatal("nothing was swapped in 1000 tries")
		}
		var asked sync.WaitGroup
		got := make([]string, 2)
		for i, key := range []string{"a", "b"} {
			asked.Go(func() {
				reply, err := get(p.Addr, key, long)
				got[i] = fmt.Sprint(reply, err)
			})
		}
		asked.Wait()
		a, b := bulk(strings.Repeat("a", 100))+"<nil>", bulk(strings.Repeat("b", 100))+"<nil>"
		want := []string{a, b}
		if p.Spoilt() > 0 {
			want = []string{b, a}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestProxyDelaysAPipelineOnce(t *testing.T) {
	t.Parallel()
	s := Redis(t)
	p := NewProxy(t, s.Addr, 1)
	const delay, commands = 100 * time.Millisecond, 500
	set(t, p, Faults{Delay: delay})
	ctx, cancel := context.WithTimeout(t.Context(), commands*delay/2)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := io.WriteString(conn, strings.Repeat("PING\r\n", commands)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, commands*len("+PONG\r\n"))); err != nil {
		t.Errorf("the replies of one pipeline were delayed one after the other: %v", err)
	}
	if took := time.Since(start); took < delay {
		t.Errorf("it took %v, want at least %v", took, delay)
	}
}

func TestProxyReadsEveryKindOfReply(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"+OK\r\n", "-ERR no\r\n", ":12\r\n", "$-1\r\n", "$0\r\n\r\n", "$4\r\na\r\nb\r\n", "*-1\r\n", "*0\r\n",
		"*3\r\n$1\r\nx\r\n*1\r\n:1\r\n$-1\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "(123\r\n", "=6\r\ntxt:ab\r\n", "!3\r\nERR\r\n",
		"%1\r\n+k\r\n$1\r\nv\r\n", "~2\r\n:1\r\n:2\r\n", ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
		"|1\r\n+ttl\r\n:3\r\n$1\r\nv\r\n",
	} {
		in := bufio.NewReader(strings.NewReader(text + "+NEXT\r\n"))
		got, err := readReply(in)
		if err != nil || string(got.bytes) != text {
			t.Errorf("%q was read as %q, %v", text, got.bytes, err)
		}
		for _, p := range got.payloads {
			if p.start >= p.end || p.end+2 > len(got.bytes) {
				t.Errorf("%q: payload %v", text, p)
			}
		}
	}
	for _, text := range []string{"", "$5\r\nabc", "$x\r\n", "*2\r\n:1\r\n", "\n"} {
		if got, err := readReply(bufio.NewReader(strings.NewReader(text))); err == nil {
			t.Errorf("%q was read as %q", text, got.bytes)
		}
	}
}

func timedOutDialling(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" && op.Timeout()
}

func TestBlackhole(t *testing.T) {
	t.Parallel()
	addr := Blackhole(t)
	for range 3 {
		conn, err := net.DialTimeout("tcp4", addr, 200*time.Millisecond)
		if err == nil {
			conn.Close()
		}
		if !timedOutDialling(err) {
			t.Errorf("connecting: got %v, want a timeout", err)
		}
	}
}
