package origin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	tokenLifetime = 365 * 24 * time.Hour
	// tokenRenewal is how much of its lifetime a token must have left.
	tokenRenewal = 30 * 24 * time.Hour
	secretLen    = 32
)

func newSecret() []byte {
	secret := make([]byte, secretLen)
	rand.Read(secret) // never fails: it ends the program instead
	return secret
}

// issuer signs access tokens. The same secret and time give the same tokens.
type issuer struct {
	secret   []byte
	issuedAt time.Time // in whole seconds
}

func (i issuer) expiresAt() time.Time { return i.issuedAt.Add(tokenLifetime) }

// token returns a user's n-th token.
func (i issuer) token(userID string, n int) (string, error) {
	mac := hmac.New(sha256.New, i.secret)
	mac.Write([]byte(userID + "\x00" + strconv.Itoa(n)))
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Subject:   userID,
		ExpiresAt: jwt.NewNumericDate(i.expiresAt()),
		IssuedAt:  jwt.NewNumericDate(i.issuedAt),
		ID:        base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16]),
	}).SignedString(i.secret)
	if err != nil {
		return "", fmt.Errorf("signing an access token: %w", err)
	}
	return signed, nil
}
