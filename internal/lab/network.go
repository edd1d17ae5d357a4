package lab

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
)

// Network is an emulated network: the delays that are added to parts that run
// on loopback or in process. The zero value adds none.
type Network struct {
	Name string
	// RedisRoundTrip is the median delay from a command to its reply.
	RedisRoundTrip time.Duration
	// Origin is the median delay of one read of each family.
	Origin map[*families.Family]time.Duration
}

// Networks returns the profiles in the order in which they are listed: none,
// and guide, whose origin delays are the "before" column of the guide's table.
func Networks() []Network {
	return []Network{
		{Name: "none"},
		{
			Name:           "guide",
			RedisRoundTrip: 1500 * time.Microsecond,
			Origin: map[*families.Family]time.Duration{
				families.AuthToken:        150 * time.Millisecond,
				families.UserProfile:      100 * time.Millisecond,
				families.UserTelegram:     100 * time.Millisecond,
				families.ConversationByID: 80 * time.Millisecond,
				families.ConversationList: 80 * time.Millisecond,
				families.MenuItems:        200 * time.Millisecond,
			},
		},
	}
}

// NetworkByName returns a profile.
func NetworkByName(name string) (Network, error) {
	for _, n := range Networks() {
		if n.Name == name {
			return n, nil
		}
	}
	return Network{}, fmt.Errorf("unknown network %q: it is none or guide", name)
}

// The delays are log-normal about their medians. With these spreads the 99th
// percentile of an origin read is 2.0 times its median, of a round trip 1.26.
const (
	originSpread = 0.30
	redisSpread  = 0.10
)

// emulation applies a Network's delays and records each as it turned out.
type emulation struct {
	Network
	applied *prometheus.HistogramVec
}

func newEmulation(n Network, reg prometheus.Registerer) (*emulation, error) {
	e := &emulation{Network: n, applied: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:                           "ogcache_emulated_delay_seconds",
		Help:                           "Delays that were added to emulate a network, as applied.",
		Buckets:                        []float64{.0005, .001, .0015, .002, .005, .05, .1, .15, .2, .3, .5, 1},
		NativeHistogramBucketFactor:    1.1,
		NativeHistogramMaxBucketNumber: 160,
	}, []string{"part"})}
	if reg == nil {
		return e, nil
	}
	return e, reg.Register(e.applied)
}

// delayOrigin waits as long as one read of the family takes on this network.
func (e *emulation) delayOrigin(ctx context.Context, f *families.Family) error {
	median := e.Origin[f]
	if median == 0 {
		return nil
	}
	start := time.Now()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(logNormal(median, originSpread)):
	}
	e.applied.WithLabelValues(f.Name).Observe(time.Since(start).Seconds())
	return nil
}

func logNormal(median time.Duration, spread float64) time.Duration {
	return time.Duration(float64(median) * math.Exp(spread*rand.NormFloat64()))
}

// dialer returns a dialer whose connections have the network's round trip, or
// nil when there is none to emulate.
func (e *emulation) dialer() instrumented.Dialer {
	if e.RedisRoundTrip == 0 {
		return nil
	}
	return DistantDialer(e.RedisRoundTrip, e.applied.WithLabelValues("redis"))
}

// DistantDialer returns a dialer for servers that are to seem a round trip
// away. Each delay is told to applied, in seconds, as it turned out.
func DistantDialer(roundTrip time.Duration, applied prometheus.Observer) instrumented.Dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &distantConn{Conn: conn, roundTrip: roundTrip, applied: applied}, nil
	}
}

// distantConn delays the first read after a write until a round trip has
// passed since the write, as if the peer were that far away.
type distantConn struct {
	net.Conn
	roundTrip time.Duration
	applied   prometheus.Observer

	mu       sync.Mutex
	due      time.Time // of the reply to the last write; zero once delivered
	asked    time.Time
	deadline time.Time
}

func (c *distantConn) Write(b []byte) (int, error) {
	now := time.Now()
	c.mu.Lock()
	c.asked, c.due = now, now.Add(logNormal(c.roundTrip, redisSpread))
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *distantConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		return n, err
	}
	c.mu.Lock()
	due, asked, deadline := c.due, c.asked, c.deadline
	c.due = time.Time{}
	c.mu.Unlock()
	if due.IsZero() {
		return n, nil
	}
	if !deadline.IsZero() && due.After(deadline) {
		waitUntil(deadline)
		return 0, os.ErrDeadlineExceeded
	}
	waitUntil(due)
	c.applied.Observe(time.Since(asked).Seconds())
	return n, nil
}

func (c *distantConn) SetDeadline(t time.Time) error {
	c.setDeadline(t)
	return c.Conn.SetDeadline(t)
}

func (c *distantConn) SetReadDeadline(t time.Time) error {
	c.setDeadline(t)
	return c.Conn.SetReadDeadline(t)
}

func (c *distantConn) setDeadline(t time.Time) {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
}
