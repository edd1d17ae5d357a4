package views

import (
	"bytes"
	"context"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"
)

// states are overviews in every condition that the page has words for.
func states() map[string]Overview {
	now := time.Date(2026, 3, 4, 14, 26, 9, 0, time.UTC)
	busy := Overview{
		Now: now, Started: now.Add(-23 * time.Minute), Window: time.Minute,
		Surroundings: Surroundings{
			Redis: Part{Description: "miniredis", Embedded: true}, Database: Part{Description: "2,000 users in memory", Embedded: true},
			Network: Network{
				Profile: "guide", RedisRoundTrip: 1500 * time.Microsecond,
				Origin: map[string]time.Duration{"menu_items": 200 * time.Millisecond},
			},
		},
		Redis: Health{State: Available}, Database: Health{State: Available},
		Total: Lookups{Hits: 1204, Misses: 31}, Recent: Lookups{Hits: 500, Misses: 2},
		Trend: []Second{{Hits: 10, Misses: 1}, {Hits: 12}},
		Speedup: Speedup{Mean: 17, Ratio: 0.97, MeanOK: true, Operations: []Operation{{
			Title: "Menu", Of: "menu_items", Uncached: Latency{0.2, true}, Cached: Latency{0.0038, true}, Claimed: 66, Emulated: 200 * time.Millisecond,
		}}},
		Families: []Family{{
			Name: "menu_items", Title: "Menu", Recent: Lookups{Hits: 10}, Rate: 3,
			Keys: Keys{Known: true, Count: 1, Lifetime: 30 * time.Minute, Left: [12]int64{11: 1}}, Problems: []string{"1 key has no expiry"},
		}},
		Scan: Scan{Known: true, Age: 3 * time.Second, Took: 12 * time.Millisecond, Every: 5 * time.Second, Scanned: 9, Other: 8},
	}
	running, failed, dead, absent := busy, busy, busy, busy
	running.Action = Action{Title: "Warm up everything", Running: true, Done: 30, Total: 81}
	failed.Action = Action{Title: "Clear everything", Failed: true, Outcome: "failed: Redis is not available.", Ended: now}
	dead.Redis = Health{State: Unavailable, Detail: "Reads are served from the database."}
	dead.Recent = Lookups{Unanswered: 312}
	dead.Total.Unanswered = 312
	absent.Surroundings = Surroundings{Redis: Part{Absent: true}}
	absent.Redis, absent.Scan = Health{State: Absent}, Scan{}
	return map[string]Overview{
		"busy": busy, "running": running, "failed": failed, "dead": dead, "absent": absent,
		"empty": {Now: now, Started: now, Families: []Family{{Name: "menu_items", Title: "Menu"}}},
	}
}

func render(t *testing.T, c templ.Component) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Render(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The content security policy allows neither inline scripts nor inline styles.
var inline = regexp.MustCompile(`(?i)<style|\sstyle\s*=|\son[a-z]+\s*=|javascript:|<script(?:\s[^>]*)?>\s*[^<\s]`)

func TestPagesNeedNothingInline(t *testing.T) {
	for name, o := range states() {
		if found := inline.FindString(render(t, Page(o, []Choice{{"menu_items", "Menu"}}, Assets{}))); found != "" {
			t.Errorf("%s: the page has %q", name, found)
		}
	}
	dialog := Dialog("Clear", Confirmation(Clearing{Title: "everything", Count: 3}), Assets{})
	if found := inline.FindString(render(t, dialog)); found != "" {
		t.Errorf("the confirmation has %q", found)
	}
}

func TestPageSays(t *testing.T) {
	for state, sentences := range map[string][]string{
		"busy":    {"1,204", "since start at 14:03", "in the last 60 s", "97.5 %", "53x", "66x", "17x", "200 ms", "Emulated", "Embedded", "exact scan of 9 keys 3 s ago, took 12 ms, renewed every 5 s.", "8 keys are not ogcache’s", "not offered", "1 key has no expiry", "Refresh"},
		"running": {"Warm up everything…", "30 of 81", `<progress id="progress-bar" value="30" max="81">`, "Cancel"},
		"failed":  {"failed: Redis is not available."},
		"dead":    {"unavailable", "Reads are served from the database.", "Not answered by Redis", "312"},
		"absent":  {"not configured", "nothing to warm up or to clear", "there are no keys to count"},
		"empty":   {"No lookups yet", "not checked yet", "Keys have not been counted yet"},
	} {
		page := strings.ReplaceAll(render(t, Page(states()[state], nil, Assets{})), "\u00a0", " ")
		for _, s := range sentences {
			if !strings.Contains(page, s) {
				t.Errorf("%s: the page does not say %q", state, s)
			}
		}
	}
}

// Each fragment must replace exactly one element of the page, by its id.
func TestFragmentsArePartsOfThePage(t *testing.T) {
	for name, o := range states() {
		page := render(t, Page(o, nil, Assets{}))
		fragments, err := o.Fragments(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fragments {
			if n := strings.Count(page, ` id="`+f.ID+`"`); n != 1 {
				t.Errorf("%s: %d elements with the id %s", name, n, f.ID)
			}
			if !strings.Contains(page, string(f.HTML)) {
				t.Errorf("%s: fragment %s differs from the page", name, f.ID)
			}
			if !bytes.Contains(f.Partial(), []byte(`hx-target="#`+f.ID+`"`)) {
				t.Errorf("%s: fragment %s has no target", name, f.ID)
			}
		}
	}
}

func TestHostileTextIsEscaped(t *testing.T) {
	const hostile = `<img src=x onerror=alert(1)>"'`
	o := states()["busy"]
	o.Surroundings.Redis.Description = hostile
	o.Families[0].Problems = []string{hostile}
	o.Action = Action{Title: hostile, Outcome: hostile}
	clearing := Clearing{Title: hostile, Count: 1, Fields: []Field{{"prefix", hostile}}, Kept: []string{hostile}}
	for name, c := range map[string]templ.Component{
		"page": Page(o, []Choice{{hostile, hostile}}, Assets{}), "confirmation": Confirmation(clearing),
		"refusal": Refusal(hostile, hostile), "dialog": Dialog(hostile, Refusal(hostile, hostile), Assets{}),
	} {
		if html := render(t, c); strings.Contains(html, "<img") || !strings.Contains(html, "&lt;img") {
			t.Errorf("%s: hostile text is not escaped", name)
		}
	}
}

func TestStaticFiles(t *testing.T) {
	for _, name := range []string{"style.css", "dashboard.js", "icon.svg", "vendor/htmx-4.0.1.min.js", "vendor/hx-sse-4.0.1.min.js", "vendor/htmx-LICENSE.txt"} {
		if content, err := fs.ReadFile(Static(), name); err != nil || len(content) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(content), err)
		}
	}
}
