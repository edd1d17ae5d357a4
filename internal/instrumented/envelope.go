package instrumented

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/oglab/ogcache/internal/families"
)

// What stands under a key starts with a stamp: format, kind and token. A fill
// or a refresh stores only over the very stamp that it set out to replace.
//
//	0      format, 2
//	1      kind: 'L' lease, 'V' value, 'A' the origin has no such value
//	2-17   token, random
//
// A lease ends there. A value goes on:
//
//	18-25  xxHash64 of the key
//	26-29  CRC32C of everything else
//	30-37  logical expiry, Unix milliseconds
//	38-41  load time, microseconds
//	42-45  schema: what the payload's type looks like
//	46-    payload
//
// Integers are big-endian. Every format keeps the first 30 bytes as they are,
// so that each can tell another's values from damaged ones.
const (
	format      = 2
	kindLease   = 'L'
	kindValue   = 'V'
	kindAbsent  = 'A'
	stampLen    = 18
	digestAt    = 18
	checksumAt  = 26
	expiryAt    = 30
	loadTimeAt  = 38
	schemaAt    = 42
	envelopeLen = 46
)

// stamp identifies one lease or one stored value.
type stamp [stampLen]byte

func newStamp(kind byte) stamp {
	s := stamp{format, kind}
	rand.Read(s[2:]) // never fails since Go 1.24
	return s
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// errDamaged is returned for bytes that are not an intact value of the key.
	errDamaged = errors.New("not an intact value of this key")
	// errOutdated is returned for an intact value of another format or schema.
	errOutdated = errors.New("stored by a program with another type or format")
)

// envelope is a stored value and what is known of it.
type envelope struct {
	stamp    stamp
	expires  time.Time     // logical expiry
	loadTime time.Duration // what loading it from the origin took
	schema   uint32
	payload  []byte
}

func (e envelope) absent() bool { return e.stamp[1] == kindAbsent }

// digest is what an envelope and the record of misses know a key by.
func digest(key families.Key) uint64 { return xxhash.Sum64String(key.String()) }

func (e envelope) encode(key families.Key) []byte {
	b := make([]byte, envelopeLen, envelopeLen+len(e.payload))
	copy(b, e.stamp[:])
	binary.BigEndian.PutUint64(b[digestAt:], digest(key))
	binary.BigEndian.PutUint64(b[expiryAt:], uint64(e.expires.UnixMilli()))
	binary.BigEndian.PutUint32(b[loadTimeAt:], uint32(min(max(e.loadTime.Microseconds(), 0), math.MaxUint32)))
	binary.BigEndian.PutUint32(b[schemaAt:], e.schema)
	b = append(b, e.payload...)
	binary.BigEndian.PutUint32(b[checksumAt:], checksum(b))
	return b
}

// decode returns the value that b holds for the key with that digest. The
// payload aliases b. A value of another key (a reply out of step), or a damaged
// one, is errDamaged; an intact one of another format or schema errOutdated.
func decode(digest uint64, schema uint32, b []byte) (envelope, error) {
	if len(b) < expiryAt ||
		binary.BigEndian.Uint64(b[digestAt:]) != digest ||
		binary.BigEndian.Uint32(b[checksumAt:]) != checksum(b) {
		return envelope{}, errDamaged
	}
	if b[0] != format {
		return envelope{}, errOutdated
	}
	if len(b) < envelopeLen || b[1] != kindValue && b[1] != kindAbsent {
		return envelope{}, errDamaged
	}
	if binary.BigEndian.Uint32(b[schemaAt:]) != schema {
		return envelope{}, errOutdated
	}
	return envelope{
		stamp:    stamp(b),
		expires:  time.UnixMilli(int64(binary.BigEndian.Uint64(b[expiryAt:]))),
		loadTime: time.Duration(binary.BigEndian.Uint32(b[loadTimeAt:])) * time.Microsecond,
		schema:   schema,
		payload:  b[envelopeLen:],
	}, nil
}

func checksum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:checksumAt])
	return crc32.Update(sum, castagnoli, b[expiryAt:])
}

func isLease(b []byte) bool {
	return len(b) == stampLen && b[1] == kindLease
}
