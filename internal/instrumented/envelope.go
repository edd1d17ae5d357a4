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
//	0      format, 1
//	1      kind, 'L' lease or 'V' value
//	2-17   token, random
//
// A lease ends there. A value goes on:
//
//	18-25  xxHash64 of the key
//	26-29  CRC32C of everything else
//	30-37  logical expiry, Unix milliseconds
//	38-41  load time, microseconds
//	42-    payload
//
// Integers are big-endian.
const (
	format      = 1
	kindLease   = 'L'
	kindValue   = 'V'
	stampLen    = 18
	digestAt    = 18
	checksumAt  = 26
	expiryAt    = 30
	loadTimeAt  = 38
	envelopeLen = 42
)

// stamp identifies one lease or one stored value.
type stamp [stampLen]byte

func newStamp(kind byte) stamp {
	s := stamp{format, kind}
	rand.Read(s[2:]) // never fails since Go 1.24
	return s
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged is returned for bytes that are not an intact value of the key.
var errDamaged = errors.New("not an intact value of this key")

// envelope is a stored value and what is known of it.
type envelope struct {
	stamp    stamp
	expires  time.Time     // logical expiry
	loadTime time.Duration // what loading it from the origin took
	payload  []byte
}

func (e envelope) encode(key families.Key) []byte {
	b := make([]byte, envelopeLen, envelopeLen+len(e.payload))
	copy(b, e.stamp[:])
	binary.BigEndian.PutUint64(b[digestAt:], xxhash.Sum64String(key.String()))
	binary.BigEndian.PutUint64(b[expiryAt:], uint64(e.expires.UnixMilli()))
	binary.BigEndian.PutUint32(b[loadTimeAt:], uint32(min(max(e.loadTime.Microseconds(), 0), math.MaxUint32)))
	b = append(b, e.payload...)
	binary.BigEndian.PutUint32(b[checksumAt:], checksum(b))
	return b
}

// decode returns the value that b holds for key. The payload aliases b. A
// value of another key (a reply out of step), or a damaged one, is errDamaged.
func decode(key families.Key, b []byte) (envelope, error) {
	if len(b) < envelopeLen || b[0] != format || b[1] != kindValue ||
		binary.BigEndian.Uint64(b[digestAt:]) != xxhash.Sum64String(key.String()) ||
		binary.BigEndian.Uint32(b[checksumAt:]) != checksum(b) {
		return envelope{}, errDamaged
	}
	return envelope{
		stamp:    stamp(b),
		expires:  time.UnixMilli(int64(binary.BigEndian.Uint64(b[expiryAt:]))),
		loadTime: time.Duration(binary.BigEndian.Uint32(b[loadTimeAt:])) * time.Microsecond,
		payload:  b[envelopeLen:],
	}, nil
}

func checksum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:checksumAt])
	return crc32.Update(sum, castagnoli, b[expiryAt:])
}

func isLease(b []byte) bool {
	return len(b) == stampLen && b[0] == format && b[1] == kindLease
}
