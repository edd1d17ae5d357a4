package instrumented

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/oglab/ogcache/internal/families"
)

// near is one family's copy of hot values in the process, decoded. It is in
// use only while the server tells of every change on a tracking connection. A
// nil near keeps nothing.
type near struct {
	tracking *tracking
	values   *otter.Cache[string, nearValue]
	changes  [nearShards]nearChanges
}

// nearShards is how many groups of ids are told apart when a change comes
// while a reply is under way.
const nearShards = 64

// nearChanges counts the changes of a group of ids. A value is kept only if
// there was none since before it was asked for.
type nearChanges struct {
	mu    sync.Mutex
	count atomic.Uint64
}

type nearValue struct {
	value    any
	envelope envelope
	size     uint32 // bytes, about
}

var nearSeed = maphash.MakeSeed()

// openNear makes the near caches that the options ask for.
func (c *Cache) openNear(o Options) error {
	if c.redis == nil || len(o.Near) == 0 {
		return nil
	}
	if !o.Redis.single() {
		c.logger.Warn("the near caches are off: they need a single Redis server, not a Cluster or Sentinels")
		return nil
	}
	c.tracking = &tracking{
		redis: o.Redis, lifetime: orDefault(o.NearLifetime, DefaultNearLifetime),
		near: make(map[*families.Family]*near), lost: c.metrics.nearLost, logger: c.logger,
	}
	for _, f := range o.Near {
		values, err := otter.New(&otter.Options[string, nearValue]{
			MaximumWeight: uint64(orDefault(o.NearBytes, DefaultNearBytes)),
			Weigher:       func(id string, v nearValue) uint32 { return uint32(len(id)) + v.size },
		})
		if err != nil {
			return fmt.Errorf("near cache of %s: %w", f, err)
		}
		n := &near{tracking: c.tracking, values: values}
		c.view(f).near, c.tracking.near[f] = n, n
	}
	return nil
}

func (n *near) shard(id string) *nearChanges {
	return &n.changes[maphash.String(nearSeed, id)%nearShards]
}

// ticket is taken before a value is asked for.
func (n *near) ticket(id string) uint64 {
	if n == nil {
		return 0
	}
	return n.shard(id).count.Load()
}

// keep keeps a value unless the key changed since the ticket was taken.
func (n *near) keep(ticket uint64, id string, value any, e envelope, size int) {
	if !n.tracking.inUse(time.Now()) {
		return
	}
	shard := n.shard(id)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.count.Load() == ticket {
		n.values.Set(id, nearValue{value: value, envelope: e, size: uint32(2 * size)})
	}
}

// forget removes a value, and keeps replies that are under way from bringing
// it back.
func (n *near) forget(id string) {
	if n == nil {
		return
	}
	shard := n.shard(id)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	shard.count.Add(1)
	n.values.Invalidate(id)
}

// flush forgets everything.
func (n *near) flush() {
	for i := range n.changes {
		n.changes[i].mu.Lock()
		n.changes[i].count.Add(1)
	}
	n.values.InvalidateAll()
	for i := range n.changes {
		n.changes[i].mu.Unlock()
	}
}

// lookNear answers from the near cache, and counts and times that as a lookup
// of its own; otherwise it leaves no trace. now is when it was asked.
func (t Typed[T]) lookNear(ctx context.Context, id string, op operation) (a answer[T], now time.Time, ok bool) {
	n, c := t.view.near, t.cache
	if n == nil {
		return a, now, false
	}
	now = time.Now()
	r := requestFrom(ctx)
	if !n.tracking.inUse(now) || r.Bypasses() || t.view.off.Load() || !c.trust.trusted() || c.drops.waiting.Load() > 0 {
		return a, now, false
	}
	v, ok := n.values.GetIfPresent(id)
	if !ok || !now.Before(v.envelope.expires) {
		return a, now, false
	}
	if a.value, ok = v.value.(T); !ok {
		return a, now, false
	}
	a.envelope, a.found = v.envelope, true
	t.view.lookups[nearHit].Inc()
	t.view.operation(ctx, op, NearHit, time.Since(now))
	r.add(Lookup{t.view.family, NearHit})
	t.report(ctx, id, op)
	return a, now, true
}

// report tells the observer and the trace of a near hit.
func (t Typed[T]) report(ctx context.Context, id string, op operation) {
	recording := trace.SpanFromContext(ctx).IsRecording()
	if t.cache.observer == nil && !recording {
		return
	}
	key, err := t.view.family.Key(id)
	if err != nil {
		return // an id that was found is valid
	}
	if t.cache.observer != nil {
		t.cache.observer.Lookup(ctx, key, NearHit)
	}
	if recording {
		l := t.cache.begin(ctx, t.view, key, op)
		l.span.SetAttributes(attribute.Bool("cache.hit", true), attribute.String("ogcache.result", string(NearHit)))
		l.span.End()
	}
}
