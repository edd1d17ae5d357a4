package instrumented

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/redis/go-redis/v9"

	"github.com/oglab/ogcache/internal/families"
)

var (
	// lease: what SET NX GET does since Redis 7, for older servers.
	leaseScript = redis.NewScript(`
local v = redis.call('GET', KEYS[1])
if not v then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return v`)
	// fill stores a value over the very stamp that it replaces.
	fillScript = redis.NewScript(`
if redis.call('GETRANGE', KEYS[1], 0, 17) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)
	// release drops a lease that will not be filled.
	releaseScript = redis.NewScript(`
if redis.call('GETRANGE', KEYS[1], 0, 17) ~= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])`)
)

// remote speaks the cache's protocol with Redis. It knows nothing of budgets
// and breakers.
type remote struct {
	redis.UniversalClient
	// noSetGet: the server refused SET NX GET (before Redis 7).
	noSetGet atomic.Bool
}

// get returns what stands under the key, nil when nothing does.
func (r *remote) get(ctx context.Context, key families.Key) ([]byte, error) {
	b, err := r.Get(ctx, key.String()).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return b, err
}

// getMany is get for several keys in one round trip, in their order.
func (r *remote) getMany(ctx context.Context, keys []families.Key) ([][]byte, error) {
	found := make([][]byte, len(keys))
	if _, clustered := r.UniversalClient.(*redis.ClusterClient); clustered {
		return found, r.getScattered(ctx, keys, found)
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.String()
	}
	values, err := r.MGet(ctx, names...).Result()
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		if s, ok := v.(string); ok {
			found[i] = unsafe.Slice(unsafe.StringData(s), len(s)) // nobody else has it
		}
	}
	return found, nil
}

func (r *remote) getScattered(ctx context.Context, keys []families.Key, found [][]byte) error {
	pipe := r.Pipeline()
	cmds := make([]*redis.StringCmd, len(keys))
	for i, k := range keys {
		cmds[i] = pipe.Get(ctx, k.String())
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, cmd := range cmds {
		b, err := cmd.Bytes()
		switch {
		case err == nil:
			found[i] = b
		case !errors.Is(err, redis.Nil):
			return err
		}
	}
	return nil
}

// lease puts a lease under a key that has nothing. It returns what was there
// already, nil when the lease was granted.
func (r *remote) lease(ctx context.Context, key families.Key, s stamp, ttl time.Duration) ([]byte, error) {
	if !r.noSetGet.Load() {
		old, err := setGet(ctx, r, key, s, ttl).Result()
		if err == nil || errors.Is(err, redis.Nil) {
			return present(old), nil
		}
		if !refusesSetGet(err) {
			return nil, err
		}
		r.noSetGet.Store(true)
	}
	old, err := leaseScript.Run(ctx, r, []string{key.String()}, s[:], ttl.Milliseconds()).Text()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	return present(old), nil
}

// leaseMany is lease for several keys in one round trip, in their order.
func (r *remote) leaseMany(ctx context.Context, keys []families.Key, stamps []stamp, ttl time.Duration) ([][]byte, error) {
	pipe := r.Pipeline()
	texts := make([]func() (string, error), len(keys))
	for i, k := range keys {
		if r.noSetGet.Load() {
			texts[i] = leaseScript.Eval(ctx, pipe, []string{k.String()}, stamps[i][:], ttl.Milliseconds()).Text
		} else {
			texts[i] = setGet(ctx, pipe, k, stamps[i], ttl).Result
		}
	}
	_, err := pipe.Exec(ctx)
	if refusesSetGet(err) && r.noSetGet.CompareAndSwap(false, true) {
		return r.leaseMany(ctx, keys, stamps, ttl)
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	olds := make([][]byte, len(keys))
	for i, text := range texts {
		old, err := text()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, err
		}
		olds[i] = present(old)
	}
	return olds, nil
}

func setGet(ctx context.Context, c redis.Cmdable, key families.Key, s stamp, ttl time.Duration) *redis.StatusCmd {
	return c.SetArgs(ctx, key.String(), s[:], redis.SetArgs{Mode: "NX", Get: true, TTL: ttl})
}

func refusesSetGet(err error) bool {
	return err != nil && strings.Contains(err.Error(), "syntax error")
}

func present(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// fill stores an encoded value if the key still bears the stamp. It reports
// false when the key was invalidated, cleared or taken over meanwhile.
func (r *remote) fill(ctx context.Context, key families.Key, over stamp, value []byte, ttl time.Duration) (bool, error) {
	n, err := fillScript.Run(ctx, r, []string{key.String()}, over[:], value, ttl.Milliseconds()).Int()
	return n == 1, err
}

// fillMany is fill for several entries in one round trip, in their order, with
// an error for each that failed.
func (r *remote) fillMany(ctx context.Context, entries []entry) (done []bool, errs []error) {
	pipe := r.Pipeline()
	cmds := make([]*redis.Cmd, len(entries))
	for i, e := range entries {
		cmds[i] = fillScript.Eval(ctx, pipe, []string{e.key.String()}, e.over[:], e.value, e.ttl.Milliseconds())
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	done, errs = make([]bool, len(entries)), make([]error, len(entries))
	for i, cmd := range cmds {
		n, err := cmd.Int()
		done[i], errs[i] = n == 1, err
	}
	return done, errs
}

func (r *remote) release(ctx context.Context, key families.Key, s stamp) error {
	return releaseScript.Run(ctx, r, []string{key.String()}, s[:]).Err()
}

// drop removes keys, each by a command of its own so that a Cluster can spread
// them, in one round trip.
func (r *remote) drop(ctx context.Context, keys []families.Key) error {
	pipe := r.Pipeline()
	for _, k := range keys {
		pipe.Unlink(ctx, k.String())
	}
	_, err := pipe.Exec(ctx)
	return err
}
