package instrumented

import (
	"sync/atomic"
	"time"
)

// history is this process's bounded memory of what became of keys, from which
// a miss gets its reason: Redis keeps no tombstones. Each key has one place in
// a table, shared with others; a place that has forgotten a key says so.
//
// A place is one word: 25 bits of the key's digest, the event, whether the
// place has ever been overwritten, and the expiry in Unix seconds.
type history struct {
	places []atomic.Uint64
}

// historyPlaces bounds the memory: 8 bytes each.
const historyPlaces = 1 << 16

type event uint64

const (
	nothing event = iota
	stored
	dropped
	refused
	failed
)

const (
	expiryBits   = 35 // seconds: until the year 3058
	forgotBit    = 1 << expiryBits
	eventShift   = expiryBits + 1
	tagShift     = eventShift + 3
	expiryMask   = 1<<expiryBits - 1
	eventMask    = 7
	historyIndex = historyPlaces - 1
)

func newHistory() *history { return &history{places: make([]atomic.Uint64, historyPlaces)} }

func pack(digest uint64, e event, expires time.Time) uint64 {
	var until uint64
	if !expires.IsZero() {
		until = uint64(expires.Unix()) & expiryMask
	}
	return digest>>tagShift<<tagShift | uint64(e)<<eventShift | until
}

// note remembers what happened to a key last. expires is that of a stored
// value. Seeing the same again costs one load.
func (h *history) note(digest uint64, e event, expires time.Time) {
	place := &h.places[digest&historyIndex]
	word := pack(digest, e, expires)
	old := place.Load()
	if old&^forgotBit == word {
		return
	}
	if old != 0 && old>>tagShift != word>>tagShift {
		word |= forgotBit
	} else {
		word |= old & forgotBit
	}
	place.Store(word)
}

// why explains a miss of the key.
func (h *history) why(digest uint64, now time.Time) outcome {
	word := h.places[digest&historyIndex].Load()
	if word == 0 || word>>tagShift != digest>>tagShift {
		if word&forgotBit != 0 {
			return missUnknown
		}
		return missFirstSeen
	}
	switch event(word >> eventShift & eventMask) {
	case dropped:
		return missInvalidated
	case refused:
		return missRefused
	case failed:
		return missError
	default:
		if uint64(now.Unix()) >= word&expiryMask {
			return missExpired
		}
		return missLost
	}
}
