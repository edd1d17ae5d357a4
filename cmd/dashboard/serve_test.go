package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/oglab/ogcache/internal/origin"
	"github.com/oglab/ogcache/internal/testenv"
)

// installation is the real servers that the commands are configured for.
type installation struct {
	t     *testing.T
	bin   string
	env   []string
	dir   string
	redis *testenv.RedisServer
}

func install(t *testing.T) installation {
	t.Helper()
	redis := testenv.Redis(t)
	return installation{
		t: t, bin: testenv.Build(t, "./cmd/dashboard"), dir: t.TempDir(), redis: redis,
		env: []string{"REDIS_URL=redis://" + redis.Addr, "DATABASE_URL=" + testenv.Postgres(t), "NO_COLOR=1"},
	}
}

func (i installation) start(args ...string) *testenv.Process {
	i.t.Helper()
	return testenv.Command{Path: i.bin, Args: args, Env: i.env, Dir: i.dir}.Start(i.t)
}

// run runs a command to its end and returns its standard output.
func (i installation) run(code int, args ...string) string {
	i.t.Helper()
	p := i.start(args...)
	if got := p.Wait(60 * time.Second); got != code {
		i.t.Fatalf("dashboard %q ended with %d, want %d:\n%s", args, got, code, p.Output())
	}
	return p.Stdout()
}

// exec runs SQL past the program.
func (i installation) exec(sql string, args ...any) {
	i.t.Helper()
	ctx := i.t.Context()
	db, err := pgx.Connect(ctx, strings.TrimPrefix(i.env[1], "DATABASE_URL="))
	if err != nil {
		i.t.Fatal(err)
	}
	defer db.Close(ctx)
	if _, err := db.Exec(ctx, sql, args...); err != nil {
		i.t.Fatal(err)
	}
}

func (i installation) seed() []origin.Identity {
	i.t.Helper()
	tokens := filepath.Join(i.t.TempDir(), "tokens")
	i.run(exitOK, "seed", "--users", "50", "--seed", "7", "--tokens", tokens)
	people, err := origin.ReadIdentities(tokens)
	if err != nil || len(people) != 50 {
		i.t.Fatalf("%d tokens, %v", len(people), err)
	}
	return people
}

func TestServeOnRealServers(t *testing.T) {
	i := install(t)
	people := i.seed()
	p := i.start("serve", "--addr", "127.0.0.1:0")
	url := p.WaitLine(30*time.Second, `ogcache on (http://\S+) `)[1]
	p.WaitLine(30*time.Second, `warmed up`)

	text := get(t, 200, url+"/api/cache")
	var stats struct {
		Available bool
		Stats     struct {
			TotalKeys   int64
			MemoryUsage string
		}
	}
	if err := json.Unmarshal([]byte(text), &stats); err != nil || !stats.Available || stats.Stats.TotalKeys < 101 || stats.Stats.MemoryUsage == "N/A" {
		t.Errorf("GET /api/cache: %s", text)
	}
	for _, body := range []string{`{"action": "clear"}`, `{"action": "warmup"}`, `{"action": "warmup-menu"}`,
		`{"action": "clear-prefix", "prefix": "user:profile:"}`} {
		post(t, 200, url+"/api/cache", body)
	}
	outcome := func() string {
		r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/api/profile", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+people[3].Token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 200 {
			t.Fatalf("a profile got %d", answer.StatusCode)
		}
		return answer.Header.Get("Cache-Status")
	}
	const miss, hit = `ogcache; fwd=miss; detail="user_profile"`, `ogcache; hit; detail="user_profile"`
	if got := outcome(); !strings.HasSuffix(got, miss) {
		t.Errorf("after the clear: %s", got)
	}
	if got := outcome(); !strings.HasSuffix(got, hit) {
		t.Errorf("then: %s", got)
	}

	i.redis.Kill()
	for range 20 {
		if got := outcome(); !strings.HasSuffix(got, `detail="user_profile/error"`) {
			t.Errorf("without Redis: %s", got)
		}
	}
	get(t, 200, url+"/readyz")
	i.redis.Start()
	deadline := time.Now().Add(15 * time.Second)
	for !strings.HasSuffix(outcome(), hit) {
		if time.Now().After(deadline) {
			t.Fatal("no hit since Redis is back")
		}
	}
	if code := p.Stop(syscall.SIGTERM, 20*time.Second); code != exitOK {
		t.Errorf("SIGTERM ended it with %d, want 0", code)
	}
}

func TestOperatorsCommands(t *testing.T) {
	i := install(t)
	i.seed()
	i.seed() // once more changes nothing
	if out := i.run(exitOK, "migrate"); !strings.Contains(out, "up to date") {
		t.Errorf("migrate after seed says %q", out)
	}
	out := i.run(exitOK, "warmup", "--menu")
	if !strings.HasPrefix(out, "✅ Redis is available\n✅ Menu cache warmed up successfully\n") {
		t.Errorf("warmup --menu prints %q", out)
	}
	var warmed struct{ Loaded, Present int }
	if err := json.Unmarshal([]byte(i.run(exitOK, "warmup", "--json")), &warmed); err != nil || warmed.Loaded != 100 || warmed.Present != 1 {
		t.Errorf("warmup --json: %+v, %v; want 50 profiles and 50 lists loaded, the menu there", warmed, err)
	}
	client := redis.NewClient(&redis.Options{Addr: i.redis.Addr})
	defer client.Close()
	if err := client.Set(t.Context(), "user:session:foreign", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	var stats struct {
		TotalKeys int64
		Families  map[string]struct{ Keys int64 }
	}
	if err := json.Unmarshal([]byte(i.run(exitOK, "stats", "--json")), &stats); err != nil ||
		stats.TotalKeys != 102 || stats.Families["user_profile"].Keys != 50 || stats.Families["other"].Keys != 1 {
		t.Errorf("stats --json: %+v, %v", stats, err)
	}
	if out := i.run(exitOK, "stats"); !strings.Contains(out, "conversation_list") {
		t.Errorf("stats prints\n%s", out)
	}
	if out := i.run(exitOK, "clear", "--dry-run"); !strings.HasPrefix(out, "101 keys would be removed") {
		t.Errorf("clear --dry-run prints %q", out)
	}
	i.run(exitUsage, "clear") // nobody to ask
	if out := i.run(exitOK, "clear", "--family", "user_profile", "--yes"); !strings.HasPrefix(out, "50 keys removed") {
		t.Errorf("clear --family prints %q", out)
	}
	var cleared struct{ Removed int64 }
	if err := json.Unmarshal([]byte(i.run(exitOK, "clear", "--yes", "--json")), &cleared); err != nil || cleared.Removed != 51 {
		t.Errorf("clear --json: %+v, %v", cleared, err)
	}
	if n := client.DBSize(t.Context()).Val(); n != 1 {
		t.Errorf("%d keys are left, want the foreign one", n)
	}
	i.redis.Kill()
	p := i.start("warmup")
	if code := p.Wait(60 * time.Second); code != exitFailed || !strings.Contains(p.Output(), "does not answer") {
		t.Errorf("warmup without Redis ended with %d:\n%s", code, p.Output())
	}
}

// TestServeDropsWhatSQLChanged reads a profile, changes it past the program,
// and sees the new one long before the old would expire.
func TestServeDropsWhatSQLChanged(t *testing.T) {
	i := install(t)
	people := i.seed()
	i.env = append(i.env, "OGCACHE_WARMUP=false")
	url := i.start("serve", "--addr", "127.0.0.1:0").WaitLine(30*time.Second, `ogcache on (http://\S+) `)[1]
	name := func() string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/api/profile", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+people[3].Token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var profile struct{ Name string }
		if err := json.NewDecoder(answer.Body).Decode(&profile); err != nil || answer.StatusCode != 200 {
			t.Fatalf("a profile got %d, %v", answer.StatusCode, err)
		}
		return profile.Name
	}
	name()
	i.exec("update ogcache.users set name = 'By Hand' where id = $1", people[3].UserID)
	deadline := time.Now().Add(30 * time.Second)
	for name() != "By Hand" {
		if time.Now().After(deadline) {
			t.Fatal("the old name is served still")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if metrics := get(t, 200, url+"/metrics"); !strings.Contains(metrics, "ogcache_outbox_enabled 1") {
		t.Error("/metrics does not tell that the outbox is on")
	}
}

func TestOutboxCommand(t *testing.T) {
	i := install(t)
	state := func(args ...string) (s struct {
		Enabled       bool
		Pending       int
		OldestSeconds float64
	}) {
		t.Helper()
		if err := json.Unmarshal([]byte(i.run(exitOK, append([]string{"outbox", "--json"}, args...)...)), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := state(); !s.Enabled || s.Pending != 0 {
		t.Errorf("at first it is %+v", s)
	}
	if s := state("off"); s.Enabled {
		t.Errorf("switched off it is %+v", s)
	}
	i.seed()
	if s := state(); s.Enabled || s.Pending != 0 {
		t.Errorf("after a change while it was off it is %+v", s)
	}
	if s := state("on"); !s.Enabled || s.Pending != 4 {
		t.Errorf("switched on it is %+v, want a change of each entity", s)
	}
	if out := i.run(exitOK, "outbox"); !strings.HasPrefix(out, "the outbox is on: changes are recorded\n4 changes are pending, the oldest for ") {
		t.Errorf("outbox prints %q", out)
	}
	i.run(exitUsage, "outbox", "maybe")
	i.run(exitUsage, "outbox", "on", "off")
}

func TestAllConfigurationErrorsAtOnce(t *testing.T) {
	i := install(t)
	i.env = []string{"REDIS_URL=ftp://x", "DATABASE_URL=mysql://user:hunter2secret@h/d", "OGCACHE_AUTH_TTL=2h"}
	p := i.start("serve")
	if code := p.Wait(20 * time.Second); code != exitFailed {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, name := range []string{"REDIS_URL", "DATABASE_URL", "OGCACHE_AUTH_TTL"} {
		if !strings.Contains(p.Output(), name) {
			t.Errorf("%s is not named:\n%s", name, p.Output())
		}
	}
	if strings.Contains(p.Output(), "hunter2secret") {
		t.Errorf("a secret is printed:\n%s", p.Output())
	}
}

func TestServeWithoutRedisWarnsAndWorks(t *testing.T) {
	i := install(t)
	i.env = i.env[1:]
	p := i.start("serve", "--addr", "127.0.0.1:0")
	p.WaitLine(30*time.Second, `⚠️ Upstash Redis credentials not found`)
	url := p.WaitLine(30*time.Second, `ogcache on (http://\S+) `)[1]
	get(t, 200, url+"/api/menu")
	get(t, 200, url+"/")
	post(t, 503, url+"/api/cache", `{"action":"clear"}`)
}
