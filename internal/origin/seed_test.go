package origin

import (
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oglab/ogcache/internal/families"
)

// dump returns every row of the schema.
func dump(tb testing.TB, p *Postgres) []string {
	tb.Helper()
	var all []string
	for _, table := range []string{"users", "conversations", "messages", "menu_items", "sessions", "seeds"} {
		all = append(all, queryStrings(tb, p, "select '"+table+" ' || to_jsonb(t)::text from ogcache."+table+" t order by 1")...)
	}
	return all
}

func mustSeed(tb testing.TB, p *Postgres, population Population) []Identity {
	tb.Helper()
	ids, err := p.Seed(tb.Context(), population, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return ids
}

func TestSeedTwice(t *testing.T) {
	p := migratedPostgres(t)
	population := Population{Users: seedBatch + 50, Seed: 1<<64 - 1}
	var progress []int
	ids, err := p.Seed(t.Context(), population, func(done, total int) {
		if total != population.Users {
			t.Errorf("%d of %d", done, total)
		}
		progress = append(progress, done)
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(progress, []int{seedBatch, population.Users}) {
		t.Errorf("progress %v", progress)
	}
	rows := dump(t, p)
	for _, id := range ids[:10] {
		if strings.Contains(strings.Join(rows, "\n"), id.Token) {
			t.Fatal("a token is in the database")
		}
	}
	if again := mustSeed(t, p, population); !reflect.DeepEqual(again, ids) {
		t.Error("other identities the second time")
	}
	if again := dump(t, p); !slices.Equal(again, rows) {
		t.Error("other rows the second time")
	}
	larger := mustSeed(t, p, Population{Users: population.Users + 5, Seed: population.Seed})
	if !reflect.DeepEqual(larger[:len(ids)], ids) || len(larger) != len(ids)+5 {
		t.Error("a larger population of the same seed begins with others")
	}
	path := filepath.Join(t.TempDir(), "tokens")
	if err := WriteIdentities(path, ids); err != nil {
		t.Fatal(err)
	}
	if read, err := ReadIdentities(path); err != nil || !reflect.DeepEqual(read, ids) {
		t.Errorf("the file holds others, error %v", err)
	}
}

// TestSeedsAreSecret sees that two databases have different tokens for a seed.
func TestSeedsAreSecret(t *testing.T) {
	population := Population{Users: 1, Seed: 1}
	a, b := mustSeed(t, migratedPostgres(t), population), mustSeed(t, migratedPostgres(t), population)
	if a[0].Token == b[0].Token {
		t.Error("a token can be told from the seed's number")
	}
	a[0].Token = b[0].Token
	if !reflect.DeepEqual(a, b) {
		t.Error("the people differ")
	}
}

func TestSeedKeepsWhatUsersDid(t *testing.T) {
	p := migratedPostgres(t)
	ctx := t.Context()
	population := Population{Users: 4, Seed: 1}
	taken := population.person(4).profile.TelegramID
	// Somebody who is not of the population has a Telegram id of it, and one of
	// its user ids.
	mustExec(t, p, "insert into ogcache.users (id, name, language, telegram_id) values ('early', 'Early', 'fr', $1), ('user_3', 'Mine', 'fr', null)", taken)
	ids := mustSeed(t, p, population)
	if ids[3].TelegramID != "" || ids[2].TelegramID != "" {
		t.Errorf("telegram ids of others: %+v", ids)
	}
	mine, err := p.Profile(ctx, "user_3")
	if err != nil || mine.Name != "Mine" {
		t.Errorf("%+v, %v", mine, err)
	}

	name, telegram := "New Name", "999"
	if _, _, err := p.UpdateProfile(ctx, "user_1", ProfilePatch{Name: &name, TelegramID: &telegram}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.AddMessage(ctx, ids[0].Conversations[0], "user_1", "user", "kept"); err != nil {
		t.Fatal(err)
	}
	mustExec(t, p, "delete from ogcache.messages where conversation_id = $1", ids[1].Conversations[0])
	rows := dump(t, p)
	again := mustSeed(t, p, population)
	if after := dump(t, p); !slices.Equal(after, rows) {
		t.Error("seeding again changed rows")
	}
	ids[0].TelegramID = telegram
	if !reflect.DeepEqual(again, ids) {
		t.Errorf("got  %+v\nwant %+v", again, ids)
	}

	// Another seed's people of the same ids do not take their place either.
	other := mustSeed(t, p, Population{Users: 4, Seed: 2})
	after, err := p.Profile(ctx, "user_1")
	if err != nil || after.Name != name {
		t.Errorf("%+v, %v", after, err)
	}
	for i, id := range other {
		if id.TelegramID != ids[i].TelegramID || id.Token == ids[i].Token {
			t.Errorf("identity %+v", id)
		}
		if s, err := p.Session(ctx, id.Token); err != nil || s.UserID != id.UserID {
			t.Errorf("session %+v, %v", s, err)
		}
	}
}

func TestSeedReplacesRevokedTokens(t *testing.T) {
	p := migratedPostgres(t)
	ctx := t.Context()
	population := Population{Users: 3, Seed: 1}
	ids := mustSeed(t, p, population)
	seen := map[string]bool{ids[1].Token: true}
	for range 2 {
		if err := p.Revoke(ctx, ids[1].Token); err != nil {
			t.Fatal(err)
		}
		again := mustSeed(t, p, population)
		if again[0].Token != ids[0].Token || again[2].Token != ids[2].Token || seen[again[1].Token] {
			t.Error("other tokens than the revoked one were replaced, or it was not")
		}
		if _, err := p.Session(ctx, again[1].Token); err != nil {
			t.Error(err)
		}
		if _, err := p.Session(ctx, ids[1].Token); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("a revoked token: error is %v", err)
		}
		ids = again
		seen[ids[1].Token] = true
	}
}

func TestSeedRenewsTokens(t *testing.T) {
	p := migratedPostgres(t)
	population := Population{Users: 2, Seed: 1}
	ids := mustSeed(t, p, population)
	// A little more than 30 days left: nothing changes.
	mustExec(t, p, "update ogcache.seeds set issued_at = date_trunc('second', now()) - interval '334 days'")
	old := mustSeed(t, p, population)
	_, until, err := ParseToken(old[0].Token, time.Now())
	if err != nil || time.Until(until) > 32*24*time.Hour {
		t.Fatalf("until %v, error %v", until, err)
	}
	if again := mustSeed(t, p, population); !reflect.DeepEqual(again, old) {
		t.Error("renewed too early")
	}
	mustExec(t, p, "update ogcache.seeds set issued_at = issued_at - interval '2 days'")
	renewed := mustSeed(t, p, population)
	_, until, err = ParseToken(renewed[0].Token, time.Now())
	if err != nil || time.Until(until) < 364*24*time.Hour {
		t.Errorf("until %v, error %v", until, err)
	}
	for _, token := range []string{ids[0].Token, old[0].Token, renewed[0].Token} {
		if _, err := p.Session(t.Context(), token); err != nil {
			t.Errorf("a token that has not expired: %v", err)
		}
	}
}

func TestSessionEndsWithItsRow(t *testing.T) {
	p := migratedPostgres(t)
	ids := mustSeed(t, p, Population{Users: 2, Seed: 1})
	soon := time.Now().Add(time.Minute).Truncate(time.Second).UTC()
	mustExec(t, p, "update ogcache.sessions set expires_at = $1 where user_id = 'user_1'", soon)
	if s, err := p.Session(t.Context(), ids[0].Token); err != nil || !s.ExpiresAt.Equal(soon) {
		t.Errorf("%+v, %v", s, err)
	}
	// A row never prolongs a token, nor gives it to another user.
	mustExec(t, p, "update ogcache.sessions set expires_at = now() + interval '9 years' where user_id = 'user_1'")
	_, until, err := ParseToken(ids[0].Token, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if s, err := p.Session(t.Context(), ids[0].Token); err != nil || !s.ExpiresAt.Equal(until) {
		t.Errorf("%+v, %v", s, err)
	}
	mustExec(t, p, "update ogcache.sessions set user_id = 'user_2' where token_digest = $1", families.TokenDigest(ids[0].Token))
	if s, err := p.Session(t.Context(), ids[0].Token); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSeedRefuses(t *testing.T) {
	p := migratedPostgres(t)
	for _, users := range []int{-1, 0, MaxPopulation + 1} {
		if _, err := p.Seed(t.Context(), Population{Users: users}, nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("%d users: error is %v", users, err)
		}
	}
	if rows := dump(t, p); len(rows) > 0 {
		t.Errorf("left behind %v", rows)
	}
}

func BenchmarkSeed(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		p := migratedPostgres(b)
		b.StartTimer()
		mustSeed(b, p, Population{Users: 2000, Seed: 1})
	}
}
