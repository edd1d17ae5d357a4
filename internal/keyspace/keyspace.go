// Package keyspace reads and clears the keys that a cache's Redis holds, without
// slowing the server for others: by SCAN in small batches, with pauses.
package keyspace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oglab/ogcache/internal/families"
)

const (
	// scanCount is how many buckets one SCAN visits: about 1 ms of the server.
	scanCount = 500
	// share is the part of the time that ogcache's own reading may take.
	share = 0.05
	// largeKeyspace is the number of keys from which a scan pauses in between.
	largeKeyspace = 200_000
)

// Reader reads one Redis. It is safe for concurrent use.
type Reader struct {
	redis redis.UniversalClient

	mu     sync.Mutex
	latest *Snapshot
}

// NewReader returns a reader of the server or Cluster behind the client.
func NewReader(client redis.UniversalClient) *Reader { return &Reader{redis: client} }

// eachNode calls do for every master, one after the other.
func (r *Reader) eachNode(ctx context.Context, do func(context.Context, redis.Cmdable) error) error {
	cluster, ok := r.redis.(*redis.ClusterClient)
	if !ok {
		return do(ctx, r.redis)
	}
	var one sync.Mutex // ForEachMaster is concurrent; pacing is not
	return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		one.Lock()
		defer one.Unlock()
		return do(ctx, node)
	})
}

// batch is one answer of SCAN.
type batch struct {
	node redis.Cmdable
	keys []string
}

// eachBatch calls do for every batch of keys that match the pattern. SCAN may
// return a key more than once. A paced reading rests so that it takes its share of the
// time.
func (r *Reader) eachBatch(ctx context.Context, pattern string, paced bool, do func(context.Context, batch) error) error {
	return r.eachNode(ctx, func(ctx context.Context, node redis.Cmdable) error {
		var cursor uint64
		for {
			start := time.Now()
			keys, next, err := node.Scan(ctx, cursor, pattern, scanCount).Result()
			if err != nil {
				return fmt.Errorf("scanning Redis: %w", err)
			}
			// Some servers answer with more than was asked for.
			for part := range slices.Chunk(keys, scanCount) {
				if err := do(ctx, batch{node, part}); err != nil {
					return err
				}
			}
			if cursor = next; cursor == 0 {
				return nil
			}
			if paced {
				worked := time.Since(start)
				if err := pause(ctx, time.Duration(float64(worked)*(1-share)/share)); err != nil {
					return err
				}
			}
		}
	})
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Count returns how many keys a selection has now.
func (r *Reader) Count(ctx context.Context, s Selection) (int64, error) {
	seen := make(map[string]struct{})
	err := r.eachBatch(ctx, s.pattern(), false, func(_ context.Context, b batch) error {
		for _, k := range b.keys {
			if s.contains(k) {
				seen[k] = struct{}{}
			}
		}
		return nil
	})
	return int64(len(seen)), err
}

// Clear removes a selection's keys and returns how many it removed, also
// together with an error. progress, which may be nil, is told the number so
// far. Keys that are stored meanwhile may or may not be removed. It rests as
// long as it works, so that others keep half of the server.
func (r *Reader) Clear(ctx context.Context, s Selection, progress func(done int64)) (int64, error) {
	var removed int64
	err := r.eachBatch(ctx, s.pattern(), false, func(ctx context.Context, b batch) error {
		start := time.Now()
		gone, err := unlink(ctx, b.node, s, b.keys)
		removed += gone
		if err != nil {
			return fmt.Errorf("removing keys: %w", err)
		}
		if progress != nil {
			progress(removed)
		}
		return pause(ctx, time.Since(start))
	})
	return removed, err
}

// unlink removes those of the keys that are selected, each by a command of its
// own so that a Cluster does not refuse keys of different slots.
func unlink(ctx context.Context, node redis.Cmdable, s Selection, keys []string) (int64, error) {
	pipe := node.Pipeline()
	var cmds []*redis.IntCmd
	for _, k := range keys {
		if s.contains(k) {
			cmds = append(cmds, pipe.Unlink(ctx, k))
		}
	}
	if len(cmds) == 0 {
		return 0, nil
	}
	_, err := pipe.Exec(ctx)
	var gone int64
	for _, cmd := range cmds {
		gone += cmd.Val()
	}
	return gone, err
}

// Latest returns the newest snapshot, and false when there is none yet.
func (r *Reader) Latest() (Snapshot, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.latest == nil {
		return Snapshot{}, false
	}
	return *r.latest, true
}

// Snapshot intervals.
const (
	minInterval  = 5 * time.Second
	failInterval = 2 * time.Second
)

// Run keeps Latest fresh until ctx ends: a scan at once, then every five
// seconds, or less often where scans take long, so that they take at most 5 %
// of the time.
func (r *Reader) Run(ctx context.Context) {
	for {
		wait := failInterval
		if s, err := r.Scan(ctx); err == nil {
			wait = s.Interval()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// Interval returns how long after this snapshot Run takes the next one.
func (s Snapshot) Interval() time.Duration {
	return max(minInterval, time.Duration(float64(s.Took)/share))
}

// Scan reads every key once and returns what it found, which is also Latest
// from then on.
func (r *Reader) Scan(ctx context.Context) (Snapshot, error) {
	start := time.Now()
	total, err := r.size(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	s := Snapshot{Total: total, Families: make(map[string]FamilyKeys), BytesOffered: true}
	for _, f := range families.All() {
		s.Families[f.Name] = FamilyKeys{}
	}
	seen := make(map[string]struct{}, min(total, largeKeyspace))
	large := total > largeKeyspace
	err = r.eachBatch(ctx, "*", large, func(ctx context.Context, b batch) error {
		if !large {
			b.keys = unseen(b.keys, seen)
		}
		return s.read(ctx, b)
	})
	if err != nil {
		return Snapshot{}, err
	}
	s.TakenAt, s.Took = time.Now(), time.Since(start)
	r.mu.Lock()
	r.latest = &s
	r.mu.Unlock()
	return s, nil
}

// unseen leaves out keys that SCAN has returned before.
func unseen(keys []string, seen map[string]struct{}) []string {
	fresh := keys[:0]
	for _, k := range keys {
		if _, again := seen[k]; !again {
			seen[k] = struct{}{}
			fresh = append(fresh, k)
		}
	}
	return fresh
}

// size returns the number of keys of all masters together.
func (r *Reader) size(ctx context.Context) (int64, error) {
	var total int64
	err := r.eachNode(ctx, func(ctx context.Context, node redis.Cmdable) error {
		n, err := node.DBSize(ctx).Result()
		total += n
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("counting Redis' keys: %w", err)
	}
	return total, nil
}

// notOffered reports whether an error is a server's word that it does not know
// a command.
func notOffered(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}
