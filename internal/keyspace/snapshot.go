package keyspace

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oglab/ogcache/internal/families"
)

// Snapshot is what one scan of all keys found.
type Snapshot struct {
	TakenAt time.Time // when the scan ended
	Took    time.Duration
	Total   int64 // keys that the server says it has, its own and others'
	Scanned int64 // keys that the scan read
	// BytesOffered is false where the server does not tell a key's memory.
	BytesOffered bool
	Families     map[string]FamilyKeys // by family name; keys that are not ogcache's are "other"
}

// Bins is the number of bins of a distribution of remaining lifetimes.
const Bins = 12

// FamilyKeys is what a scan found of one family.
type FamilyKeys struct {
	Keys       int64
	Bytes      int64
	NoExpiry   int64       // keys that never expire
	OverPolicy int64       // keys that live longer than the family's policy
	TTL        [Bins]int64 // by remaining lifetime, in twelfths of the policy, shortest first
}

// read adds a batch's keys, in one round trip.
func (s *Snapshot) read(ctx context.Context, b batch) error {
	pipe := b.node.Pipeline()
	ttls := make([]*redis.DurationCmd, len(b.keys))
	sizes := make([]*redis.IntCmd, len(b.keys))
	for i, k := range b.keys {
		ttls[i] = pipe.PTTL(ctx, k)
		if s.BytesOffered {
			sizes[i] = pipe.MemoryUsage(ctx, k)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil && !notOffered(err) {
		return fmt.Errorf("reading lifetimes: %w", err)
	}
	for i, k := range b.keys {
		ttl, err := ttls[i].Result()
		if err != nil {
			return fmt.Errorf("reading a lifetime: %w", err)
		}
		if ttl == -2 {
			continue // expired since SCAN returned it
		}
		var size int64
		if s.BytesOffered {
			switch size, err = sizes[i].Result(); {
			case errors.Is(err, redis.Nil):
				continue
			case err != nil:
				s.BytesOffered = false
			}
		}
		s.add(k, ttl, size)
	}
	return nil
}

func (s *Snapshot) add(key string, ttl time.Duration, size int64) {
	s.Scanned++
	f, ours := families.Of(key)
	name := families.Other
	if ours {
		name = f.Name
	}
	of := s.Families[name]
	of.Keys++
	of.Bytes += size
	switch {
	case ttl < 0:
		of.NoExpiry++
	case ours:
		policy := f.TTL + f.StaleFor
		if ttl > policy {
			of.OverPolicy++
		}
		of.TTL[min(int(Bins*ttl/policy), Bins-1)]++
	}
	s.Families[name] = of
}
