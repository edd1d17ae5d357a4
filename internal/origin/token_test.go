package origin

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/oglab/ogcache/internal/families"
)

func fixedTime() time.Time { return time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC) }

func segment(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func tokenOf(header, payload string) string {
	return segment(header) + "." + segment(payload) + "." + segment("signature")
}

func mustToken(tb testing.TB, i issuer, userID string, n int) string {
	tb.Helper()
	token, err := i.token(userID, n)
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

func TestParseToken(t *testing.T) {
	now := fixedTime()
	own := issuer{secret: newSecret(), issuedAt: now}
	user, until, err := ParseToken(mustToken(t, own, "user_1", 1), now)
	if err != nil || user != "user_1" || !until.Equal(own.expiresAt()) {
		t.Errorf("an issued token: %q until %v, error %v", user, until, err)
	}
	user, until, err = ParseToken(tokenOf(`{"alg":"ES256","kid":"k"}`, `{"iss":"x","sub":"5f0c-a","exp":1772366401.9,"aud":["a"]}`), now)
	if err != nil || user != "5f0c-a" || !until.Equal(now.Add(time.Second)) {
		t.Errorf("another issuer's token: %q until %v, error %v", user, until, err)
	}

	const header = `{"alg":"HS256"}`
	const payload = `{"sub":"user_1","exp":1803902400}`
	good := tokenOf(header, payload)
	if _, _, err := ParseToken(good, now); err != nil {
		t.Fatal(err)
	}
	refused := map[string]string{
		"empty":             "",
		"one part":          "abc",
		"two parts":         strings.Join(strings.Split(good, ".")[:2], "."),
		"four parts":        good + ".x",
		"no signature":      segment(header) + "." + segment(payload) + ".",
		"no header":         "." + segment(payload) + "." + segment("s"),
		"padded":            segment(header) + "." + segment(payload) + "." + segment("s") + "==",
		"line break":        good + "\n",
		"inner line break":  segment(header)[:4] + "\r\n" + segment(header)[4:] + "." + segment(payload) + "." + segment("s"),
		"space":             " " + good,
		"not base64":        segment(header) + ".*." + segment("s"),
		"header no JSON":    tokenOf(`alg`, payload),
		"header no object":  tokenOf(`[]`, payload),
		"no algorithm":      tokenOf(`{}`, payload),
		"unsigned":          tokenOf(`{"alg":"None"}`, payload),
		"payload no JSON":   tokenOf(header, `{"sub":`),
		"payload goes on":   tokenOf(header, payload+"x"),
		"no subject":        tokenOf(header, `{"exp":1803902400}`),
		"bad subject":       tokenOf(header, `{"sub":"a b","exp":1803902400}`),
		"subject no text":   tokenOf(header, `{"sub":1,"exp":1803902400}`),
		"no expiry":         tokenOf(header, `{"sub":"user_1"}`),
		"expiry is null":    tokenOf(header, `{"sub":"user_1","exp":null}`),
		"expiry no number":  tokenOf(header, `{"sub":"user_1","exp":"1803902400"}`),
		"expiry too large":  tokenOf(header, `{"sub":"user_1","exp":1e12}`),
		"expiry far off":    tokenOf(header, `{"sub":"user_1","exp":1e300}`),
		"expiry negative":   tokenOf(header, `{"sub":"user_1","exp":-1}`),
		"expired":           tokenOf(header, `{"sub":"user_1","exp":1772366399}`),
		"expires right now": tokenOf(header, `{"sub":"user_1","exp":1772366400.5}`),
		"too long":          tokenOf(header, `{"sub":"user_1","exp":1803902400,"x":"`+strings.Repeat("x", MaxTokenLen)+`"}`),
	}
	for name, token := range refused {
		user, until, err := ParseToken(token, now)
		if !errors.Is(err, ErrUnauthorized) || user != "" || !until.IsZero() {
			t.Errorf("%s: %q until %v, error %v", name, user, until, err)
		}
	}
}

// TestTokensShareTheirBeginning is why a session is cached under a digest of
// its whole token.
func TestTokensShareTheirBeginning(t *testing.T) {
	const guide = 50 // characters by which the guide tells tokens apart
	ids := NewMemory(Population{Users: 2, Seed: 1}).Identities()
	a, b := ids[0].Token, ids[1].Token
	if a == b || a[:guide] != b[:guide] {
		t.Errorf("the tokens of two users are the same, or differ in their first %d characters", guide)
	}
	if families.TokenDigest(a) == families.TokenDigest(b) {
		t.Error("the tokens of two users have one digest")
	}
}

func TestIssuer(t *testing.T) {
	i := issuer{secret: newSecret(), issuedAt: fixedTime()}
	first := mustToken(t, i, "user_1", 1)
	if first != mustToken(t, i, "user_1", 1) {
		t.Error("the same issuer signed two different tokens for the same")
	}
	others := map[string]string{
		"user":   mustToken(t, i, "user_2", 1),
		"number": mustToken(t, i, "user_1", 2),
		"time":   mustToken(t, issuer{i.secret, i.issuedAt.Add(time.Second)}, "user_1", 1),
		"secret": mustToken(t, issuer{newSecret(), i.issuedAt}, "user_1", 1),
	}
	for what, token := range others {
		if token == first {
			t.Errorf("another %s has the same token", what)
		}
	}
	var claims jwt.MapClaims
	_, err := jwt.ParseWithClaims(first, &claims, func(*jwt.Token) (any, error) { return i.secret, nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithTimeFunc(fixedTime), jwt.WithIssuedAt())
	if err != nil {
		t.Fatal(err)
	}
	for _, claim := range []string{"sub", "exp", "iat", "jti"} {
		if claims[claim] == nil {
			t.Errorf("there is no claim %s", claim)
		}
	}
	if len(claims) != 4 {
		t.Errorf("%d claims, want 4", len(claims))
	}
	if life := i.expiresAt().Sub(i.issuedAt); life != tokenLifetime {
		t.Errorf("a token lives %v", life)
	}
}

func FuzzParseToken(f *testing.F) {
	now := fixedTime()
	token, err := issuer{secret: make([]byte, secretLen), issuedAt: now}.token("user_1", 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add(tokenOf(`{"alg":"RS256"}`, `{"sub":"a","exp":99999999999}`))
	f.Add(tokenOf(`{"alg":"HS256"}`, `{"sub":"a","exp":1e18}`))
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		user, until, err := ParseToken(token, now)
		if err != nil {
			if !errors.Is(err, ErrUnauthorized) || user != "" || !until.IsZero() {
				t.Errorf("%q until %v, error %v", user, until, err)
			}
			return
		}
		if families.CheckID(user) != nil || !until.After(now) || len(token) > MaxTokenLen || strings.Count(token, ".") != 2 {
			t.Errorf("accepted %q until %v", user, until)
		}
		if _, err := until.MarshalJSON(); err != nil {
			t.Error(err)
		}
	})
}
