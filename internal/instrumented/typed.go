package instrumented

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// Typed is a cache's view of one family whose values are of type T. Values are
// stored as JSON, []byte as it is. Values may be shared by several callers and
// must not be modified.
type Typed[T any] struct {
	cache  *Cache
	view   *view
	schema uint32
	until  func(T) time.Time // nil: the family's TTL alone
	absent error             // nil: that a value does not exist is not kept
}

// For returns the view of a family. An entry that was stored for another type
// is a miss.
func For[T any](c *Cache, f *families.Family) Typed[T] {
	return Typed[T]{cache: c, view: c.view(f), schema: schemaOf[T](f)}
}

// Until makes entries end when their value does, if that is before the
// family's TTL; they are then never served stale. The zero time means no such
// limit.
func (t Typed[T]) Until(end func(T) time.Time) Typed[T] {
	t.until = end
	return t
}

// absentTTL is how long it is kept that the origin has no such value.
const absentTTL = 30 * time.Second

// KeepAbsent makes the cache keep, for at most 30 s, that a loader answered
// with an error that is err: the value does not exist. Lookups then return an
// error that is err. A later insert has to drop the key, as any change has.
func (t Typed[T]) KeepAbsent(err error) Typed[T] {
	t.absent = err
	return t
}

func (t Typed[T]) noSuchValue() error { return fmt.Errorf("%s: %w", t.view.family.Name, t.absent) }

func (t Typed[T]) isAbsent(err error) bool { return t.absent != nil && errors.Is(err, t.absent) }

// Get returns the cached value, and false when there is none or Redis does not
// answer in time. It takes no lease and loads nothing. An invalid id is an
// error.
func (t Typed[T]) Get(ctx context.Context, id string) (T, bool, error) {
	if a, _, ok := t.lookNear(ctx, id, opGet); ok {
		return a.value, !a.envelope.absent(), nil
	}
	key, err := t.view.family.Key(id)
	if err != nil {
		return *new(T), false, err
	}
	l := t.cache.begin(ctx, t.view, key, opGet)
	defer l.end()
	a := t.look(&l)
	return a.value, a.found && !a.envelope.absent(), nil
}

// answer is what Redis has for a key.
type answer[T any] struct {
	value    T        // unless it is absent
	envelope envelope // zero when there is none
	found    bool     // a value, or that there is none, within its lifetime
	expired  bool     // a value past its lifetime
	usable   bool     // Redis answered: the key may be leased and filled
}

// look asks Redis for the key and says how the lookup went.
func (t Typed[T]) look(l *lookup) (a answer[T]) {
	c := t.cache
	if o, around := c.around(l.request, t.view); around {
		l.outcome = o
		return a
	}
	trusted, ok := c.trust.begin()
	switch {
	case !ok:
		l.outcome = errorUntrusted
		return a
	case c.drops.has(l.key):
		l.outcome = errorPending
		return a
	}
	ticket := t.view.near.ticket(l.key.ID())
	raw, by, err := c.get(l)
	switch {
	case err != nil:
		l.outcome = failureOf(err)
	case !c.trust.still(trusted):
		l.outcome = errorUntrusted
	default:
		l.digest, l.size = digest(l.key), len(raw)
		a, l.outcome = t.read(l.ctx, l.key, l.digest, raw, by, l.start)
		if n := t.view.near; n != nil && a.found {
			n.keep(ticket, l.key.ID(), a.value, a.envelope, len(raw))
		}
	}
	return a
}

// around reports whether a lookup goes around the cache.
func (c *Cache) around(r *Request, v *view) (outcome, bool) {
	switch {
	case r.Bypasses():
		return bypassRequested, true
	case c.redis == nil:
		return bypassNoCache, true
	case v.off.Load():
		return bypassOff, true
	}
	return 0, false
}

// read makes sense of what stands under a key. What cannot be used is dropped,
// and the connection that brought damaged bytes, by the deadline of its
// exchange, is closed.
func (t Typed[T]) read(ctx context.Context, key families.Key, digest uint64, raw []byte, by time.Time, now time.Time) (a answer[T], o outcome) {
	c := t.cache
	a.usable = true
	if raw == nil || isLease(raw) {
		return a, c.history.why(digest, now)
	}
	e, err := decode(digest, t.schema, raw)
	if err == nil && !e.absent() {
		a.value, err = decodeValue[T](e.payload)
	}
	switch {
	case errors.Is(err, errOutdated):
		c.discard(ctx, key)
		return a, missOutdated
	case err != nil:
		c.far.closeBy(by)
		c.discard(ctx, key)
		return a, missDamaged
	}
	a.envelope = e
	if !now.Before(e.expires) {
		a.expired = true
		return a, missExpired
	}
	a.found = true
	c.history.note(digest, stored, e.expires)
	return a, hit
}

// reply turns an answer into what a lookup returns.
func (t Typed[T]) reply(a answer[T]) (T, error) {
	if a.envelope.absent() {
		return a.value, t.noSuchValue()
	}
	return a.value, nil
}
