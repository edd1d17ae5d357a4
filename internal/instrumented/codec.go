package instrumented

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

var (
	errEnded    = errors.New("its lifetime is over")
	errTooLarge = errors.New("the value is too large to be cached")
)

// maxJitter is the share by which a lifetime is shortened at most, so that
// entries stored together do not expire together.
const maxJitter = 0.1

// entry is one encoded value on its way into Redis.
type entry struct {
	key     families.Key
	over    stamp
	value   []byte
	ttl     time.Duration // in Redis
	expires time.Time     // logical
}

// loaded is what a loader returned: a value, or that there is none.
type loaded[T any] struct {
	value T
	none  error // why there is no value; nil: there is one
}

// seal encodes what was loaded as an entry that is to replace the stamp. ttl 0
// means the family's; a longer one is cut to it. A value that has ended
// already, or is too large, is an error.
func (t Typed[T]) seal(key families.Key, over stamp, v loaded[T], ttl, loadTime time.Duration) (entry, error) {
	most, staleFor := t.view.ttl, t.view.staleFor
	if v.none != nil {
		most, staleFor = min(most, absentTTL), 0
	}
	if ttl <= 0 || ttl > most {
		ttl = most
	}
	ttl -= time.Duration(rand.Float64() * maxJitter * float64(ttl))
	if t.until != nil && v.none == nil {
		if end := t.until(v.value); !end.IsZero() {
			ttl, staleFor = min(ttl, time.Until(end)), 0
		}
	}
	if ttl < time.Millisecond {
		return entry{}, fmt.Errorf("%s: lifetime %v: %w", t.view.family, ttl, errEnded)
	}
	e := envelope{stamp: newStamp(kindAbsent), expires: time.Now().Add(ttl), loadTime: loadTime, schema: t.schema}
	if v.none == nil {
		e.stamp[1] = kindValue
		var err error
		if e.payload, err = encodeValue(v.value); err != nil {
			return entry{}, fmt.Errorf("encoding a %s: %w", t.view.family, err)
		}
	}
	if size := envelopeLen + len(e.payload); size > t.cache.maxValue {
		return entry{}, fmt.Errorf("%s: %d bytes, at most %d are: %w", t.view.family, size, t.cache.maxValue, errTooLarge)
	}
	return entry{key: key, over: over, value: e.encode(key), ttl: ttl + staleFor, expires: e.expires}, nil
}

func encodeValue(v any) ([]byte, error) {
	if b, ok := v.([]byte); ok {
		return b, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func decodeValue[T any](payload []byte) (T, error) {
	if b, ok := any(payload).(T); ok {
		return b, nil
	}
	return unmarshal[T](payload)
}

// unmarshal is apart so that values that need none of it stay off the heap.
func unmarshal[T any](payload []byte) (v T, err error) {
	return v, json.Unmarshal(payload, &v)
}

// schemaOf identifies what values of type T look like when they are stored:
// the names, kinds and tags of all fields, and the family's version.
func schemaOf[T any](f *families.Family) uint32 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%d;", f.Version)
	describe(h.Write, reflect.TypeFor[T](), nil)
	return h.Sum32()
}

func describe(write func([]byte) (int, error), t reflect.Type, within []reflect.Type) {
	say := func(format string, args ...any) { _, _ = write(fmt.Appendf(nil, format, args...)) }
	for _, outer := range within {
		if outer == t {
			say("^%s;", t.Name())
			return
		}
	}
	within = append(within, t)
	say("%s;", t.Kind())
	switch t.Kind() {
	case reflect.Struct:
		if t.PkgPath() == "time" {
			say("%s;", t.Name())
			return
		}
		for field := range t.Fields() {
			if field.IsExported() || field.Anonymous {
				say("%s %s;", field.Name, field.Tag.Get("json"))
				describe(write, field.Type, within)
			}
		}
	case reflect.Map:
		describe(write, t.Key(), within)
		describe(write, t.Elem(), within)
	case reflect.Slice, reflect.Array, reflect.Pointer:
		describe(write, t.Elem(), within)
	}
}
