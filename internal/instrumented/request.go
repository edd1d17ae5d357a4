package instrumented

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Request is what one request asks of the cache: whether it goes around it,
// how long it has waited for Redis in all its steps together, and how its
// lookups ended. It is safe for concurrent use.
type Request struct {
	bypass    bool
	operation string
	start     time.Time
	metrics   *metrics      // nil: the request is not timed
	budget    time.Duration // 0: the cache's

	mu      sync.Mutex
	waited  time.Duration // for Redis, in steps that have ended
	waiting int           // steps under way
	since   time.Time     // when the first of them began
	lookups []Lookup
}

// NewRequest returns the account of a new request. A bypassing request is
// neither answered from the cache nor stored into it.
func NewRequest(bypass bool) *Request { return &Request{bypass: bypass} }

// Start begins a request whose duration is recorded, by the application's name
// for the operation, when it ends. The name is a metric label.
func (c *Cache) Start(ctx context.Context, operation string, bypass bool) (context.Context, *Request) {
	r := &Request{bypass: bypass, operation: operation, start: time.Now(), metrics: c.metrics}
	return WithRequest(ctx, r), r
}

// End records how long the request took, under the worst result of its
// lookups. A request that looked nothing up is not recorded.
func (r *Request) End(ctx context.Context) {
	worst, ok := Worst(r.Lookups())
	if r.metrics == nil || !ok {
		return
	}
	observe(ctx, r.metrics.requests.WithLabelValues(r.operation, string(worst)), time.Since(r.start))
}

var badness = map[Result]int{NearHit: 0, Hit: 1, Stale: 2, Miss: 3, Bypass: 4, Error: 5}

// Worst returns the result that a request as a whole has: one miss makes it a
// miss. It is false for a request without lookups.
func Worst(lookups []Lookup) (worst Result, ok bool) {
	for i, l := range lookups {
		if i == 0 || badness[l.Result] > badness[worst] {
			worst = l.Result
		}
	}
	return worst, len(lookups) > 0
}

type requestKey struct{}

// WithRequest returns a context in which every cache operation is charged to r.
// Without one, each operation has a Redis budget of its own.
func WithRequest(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// unhurried returns a context for work that no user waits for: its Redis steps
// have until the load timeout.
func (c *Cache) unhurried(ctx context.Context) context.Context {
	return WithRequest(ctx, &Request{budget: c.loadTimeout})
}

func requestFrom(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}

// Bypasses reports whether the request goes around the cache.
func (r *Request) Bypasses() bool { return r != nil && r.bypass }

// Lookups returns the request's lookups so far, in the order in which they
// ended.
func (r *Request) Lookups() []Lookup {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lookups)
}

// Waited returns how long the request has waited for Redis.
func (r *Request) Waited() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waited
}

func (r *Request) add(l ...Lookup) {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.lookups = append(r.lookups, l...)
	r.mu.Unlock()
}

// begin starts a Redis step and returns how much of the budget is left for it.
// Steps that overlap are charged once: the budget bounds the time a request
// waits, not the sum of its commands.
func (r *Request) begin(budget time.Duration) time.Duration {
	if r == nil {
		return budget
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.budget > 0 {
		budget = r.budget
	}
	now := time.Now()
	if r.waiting == 0 {
		r.since = now
	}
	r.waiting++
	return budget - r.waited - now.Sub(r.since)
}

func (r *Request) end() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting--
	if r.waiting == 0 {
		r.waited += time.Since(r.since)
	}
}
