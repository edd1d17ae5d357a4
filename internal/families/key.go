package families

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// MaxIDLen is the longest id, in bytes.
const MaxIDLen = 128

// ErrInvalidID is wrapped by the error for an id that cannot be part of a key.
var ErrInvalidID = errors.New("invalid id")

// Key is a Redis key that is known to be valid. Only a Family builds one.
type Key struct {
	family *Family
	id     string
	name   string
}

// Key returns the family's key for an id: 1 to 128 characters of letters,
// digits and "._@-". Anything else is an error that wraps ErrInvalidID and
// does not repeat the id, which may be hostile or secret.
func (f *Family) Key(id string) (Key, error) {
	if err := checkID(id); err != nil {
		return Key{}, fmt.Errorf("%s key: %w", f.Name, err)
	}
	if f.Single != "" && id != f.Single {
		return Key{}, fmt.Errorf("%s key: %w: the only id is %q", f.Name, ErrInvalidID, f.Single)
	}
	return Key{family: f, id: id, name: f.Prefix + id}, nil
}

// TokenDigest returns the id under which a token's session is cached: the
// SHA-256 of the whole token in unpadded base64url. A prefix of the token will
// not do: the first 50 characters of a JWT are its header and part of its
// payload, which different users share.
func TokenDigest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// CheckID returns an error wrapping ErrInvalidID unless id is 1 to 128
// characters of letters, digits and "._@-".
func CheckID(id string) error { return checkID(id) }

func checkID(id string) error {
	if id == "" {
		return fmt.Errorf("%w: it is empty", ErrInvalidID)
	}
	if len(id) > MaxIDLen {
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrInvalidID, len(id), MaxIDLen)
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '.', c == '_', c == '@', c == '-':
		default:
			return fmt.Errorf("%w: byte %d is not a letter, a digit or one of . _ @ -", ErrInvalidID, i)
		}
	}
	return nil
}

// Family returns the family that built the key.
func (k Key) Family() *Family { return k.family }

// ID returns the part behind the family's prefix.
func (k Key) ID() string { return k.id }

// String returns the key as it stands in Redis.
func (k Key) String() string { return k.name }

// IsZero reports whether the key was not built by a family.
func (k Key) IsZero() bool { return k.family == nil }
