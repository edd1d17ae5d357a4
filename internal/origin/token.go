package origin

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// MaxTokenLen is the longest access token, in bytes.
const MaxTokenLen = 8 << 10

// maxExpiry is the end of the year 9999, the last that time.Time can encode.
const maxExpiry = 253402300799

// ParseToken reads who an access token claims to be for, and until when. It
// checks the shape of a JWT, that sub is a valid id and that exp is after now,
// but not the signature: that is for whoever issued it. Every error wraps
// ErrUnauthorized and repeats nothing of the token.
func ParseToken(token string, now time.Time) (userID string, expiresAt time.Time, err error) {
	if len(token) > MaxTokenLen {
		return "", time.Time{}, fmt.Errorf("%w: the token has %d bytes, at most %d are allowed", ErrUnauthorized, len(token), MaxTokenLen)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", time.Time{}, fmt.Errorf("%w: the token does not have the three parts of a JWT", ErrUnauthorized)
	}
	var header struct {
		Alg string `json:"alg"`
	}
	if err := decodeSegment("header", parts[0], &header); err != nil {
		return "", time.Time{}, err
	}
	if header.Alg == "" || strings.EqualFold(header.Alg, "none") {
		return "", time.Time{}, fmt.Errorf("%w: the token is not signed", ErrUnauthorized)
	}
	var claims struct {
		Sub string   `json:"sub"`
		Exp *float64 `json:"exp"`
	}
	if err := decodeSegment("payload", parts[1], &claims); err != nil {
		return "", time.Time{}, err
	}
	if _, err := decodeBase64("signature", parts[2]); err != nil {
		return "", time.Time{}, err
	}
	if err := families.CheckID(claims.Sub); err != nil {
		return "", time.Time{}, fmt.Errorf("%w: the token's sub: %w", ErrUnauthorized, err)
	}
	if claims.Exp == nil || *claims.Exp <= 0 || *claims.Exp > maxExpiry {
		return "", time.Time{}, fmt.Errorf("%w: the token's exp is missing or not a time", ErrUnauthorized)
	}
	// Whole seconds, downwards: a session never outlives its token.
	expiresAt = time.Unix(int64(*claims.Exp), 0).UTC()
	if !expiresAt.After(now) {
		return "", time.Time{}, fmt.Errorf("%w: the token has expired", ErrUnauthorized)
	}
	return claims.Sub, expiresAt, nil
}

func decodeSegment(part, segment string, into any) error {
	raw, err := decodeBase64(part, segment)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		// The decoder's error may quote the token.
		return fmt.Errorf("%w: the token's %s is not the JSON of a JWT", ErrUnauthorized, part)
	}
	return nil
}

func decodeBase64(part, segment string) ([]byte, error) {
	// The decoder skips line breaks; a token has none.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil || len(raw) == 0 || strings.ContainsAny(segment, "\r\n") {
		return nil, fmt.Errorf("%w: the token's %s is not base64url", ErrUnauthorized, part)
	}
	return raw, nil
}
