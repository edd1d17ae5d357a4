package instrumented

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

func key(tb testing.TB, f *families.Family, id string) families.Key {
	tb.Helper()
	k, err := f.Key(id)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func TestEnvelopeKeepsWhatItHolds(t *testing.T) {
	k := key(t, families.UserProfile, "user_1")
	in := envelope{
		stamp: newStamp(kindValue), expires: time.UnixMilli(1_800_000_000_123),
		loadTime: 123 * time.Millisecond, schema: 7, payload: []byte(`{"name":"Ann"}`),
	}
	out, err := decode(digest(k), 7, in.encode(k))
	if err != nil {
		t.Fatal(err)
	}
	if out.stamp != in.stamp || !out.expires.Equal(in.expires) || out.loadTime != in.loadTime || !bytes.Equal(out.payload, in.payload) {
		t.Errorf("decoded %+v, want %+v", out, in)
	}
}

func TestEnvelopeOfAnotherKeyIsRefused(t *testing.T) {
	raw := envelope{stamp: newStamp(kindValue), payload: []byte("x")}.encode(key(t, families.UserProfile, "user_1"))
	if _, err := decode(digest(key(t, families.UserProfile, "user_2")), 0, raw); !errors.Is(err, errDamaged) {
		t.Errorf("got %v, want errDamaged", err)
	}
}

func TestOtherFormatsAndTypesAreToldFromDamage(t *testing.T) {
	k := key(t, families.UserProfile, "user_1")
	value := envelope{stamp: newStamp(kindValue), schema: 1, payload: []byte("x")}
	if _, err := decode(digest(k), 2, value.encode(k)); !errors.Is(err, errOutdated) {
		t.Errorf("a value of another type: %v, want errOutdated", err)
	}
	value.stamp[0] = format + 1
	if _, err := decode(digest(k), 1, value.encode(k)); !errors.Is(err, errOutdated) {
		t.Errorf("a value of another format: %v, want errOutdated", err)
	}
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	k := key(t, families.MenuItems, "items")
	raw := envelope{stamp: newStamp(kindValue), expires: time.Now(), payload: []byte("payload")}.encode(k)
	for i := range len(raw) * 8 {
		damaged := bytes.Clone(raw)
		damaged[i/8] ^= 1 << (i % 8)
		if _, err := decode(digest(k), 0, damaged); !errors.Is(err, errDamaged) {
			t.Fatalf("bit %d flipped: got %v, want errDamaged", i, err)
		}
	}
}

func TestLeaseIsNotAValue(t *testing.T) {
	s := newStamp(kindLease)
	if !isLease(s[:]) {
		t.Error("a lease is not recognised")
	}
	if _, err := decode(digest(key(t, families.MenuItems, "items")), 0, s[:]); !errors.Is(err, errDamaged) {
		t.Errorf("a lease was decoded as a value: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	k := key(f, families.UserProfile, "user_1")
	f.Add(envelope{stamp: newStamp(kindValue), payload: []byte("v")}.encode(k))
	f.Add([]byte{})
	f.Add([]byte("plain text that somebody else stored"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := decode(digest(k), 0, raw)
		if err != nil {
			return
		}
		// What was accepted must be what encoding it again gives.
		if !bytes.Equal(e.encode(k), raw) {
			t.Errorf("accepted %x, which encodes as %x", raw, e.encode(k))
		}
	})
}
