package ogcache

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/origin"
	"github.com/oglab/ogcache/internal/scenarios"
)

// requestTimeout bounds one request; a server that takes longer has failed.
const requestTimeout = 60 * time.Second

// httpDriver carries events out over the HTTP API.
type httpDriver struct {
	base   string
	people []origin.Identity
	client *http.Client
}

func newHTTPDriver(base string, people []origin.Identity) *httpDriver {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.MaxIdleConns = 0 // no limit
	transport.MaxIdleConnsPerHost = 10_000
	transport.DisableCompression = true
	return &httpDriver{
		base: strings.TrimRight(base, "/"), people: people,
		client: &http.Client{
			Transport: transport, Timeout: requestTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// absent is an id that no conversation and no Telegram account has.
const absent = "absent"

// call is what an event asks of the API.
type call struct {
	method, path string
	body         any // nil: none
}

func callOf(e scenarios.Event, who origin.Identity) (call, error) {
	conversation, telegram := absent, absent
	if !e.Absent {
		telegram = who.TelegramID
		if len(who.Conversations) > 0 {
			conversation = who.Conversations[e.Conversation%len(who.Conversations)]
		}
	}
	switch e.Operation {
	case scenarios.Auth:
		return call{"GET", "/api/auth/session", nil}, nil
	case scenarios.Profile:
		return call{"GET", "/api/profile", nil}, nil
	case scenarios.Telegram:
		return call{"GET", "/api/telegram/" + url.PathEscape(telegram), nil}, nil
	case scenarios.Conversation:
		return call{"GET", "/api/conversations/" + url.PathEscape(conversation), nil}, nil
	case scenarios.Conversations:
		return call{"GET", "/api/conversations", nil}, nil
	case scenarios.Menu:
		return call{"GET", "/api/menu", nil}, nil
	case scenarios.Context:
		return call{"GET", "/api/agent/context", nil}, nil
	case scenarios.API:
		return call{"GET", "/api/bootstrap", nil}, nil
	case scenarios.AddMessage:
		return call{"POST", "/api/conversations/" + url.PathEscape(conversation) + "/messages",
			map[string]string{"text": fmt.Sprintf("What about event %d?", e.Index)}}, nil
	case scenarios.UpdateProfile:
		return call{"PATCH", "/api/profile", map[string]string{"bio": fmt.Sprintf("Changed by event %d.", e.Index)}}, nil
	default:
		return call{}, fmt.Errorf("unknown operation %q", e.Operation)
	}
}

func (d *httpDriver) do(ctx context.Context, e scenarios.Event, bypass bool) (outcome, error) {
	who := d.people[e.User%len(d.people)]
	c, err := callOf(e, who)
	if err != nil {
		return outcome{}, err
	}
	r, err := d.request(ctx, c, who, bypass)
	if err != nil {
		return outcome{}, err
	}
	start := time.Now()
	answer, err := d.client.Do(r)
	if err != nil {
		return outcome{}, err
	}
	defer answer.Body.Close()
	// The answer has arrived when all of it has; reading it also frees the
	// connection for the next event.
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return outcome{}, fmt.Errorf("reading the answer: %w", err)
	}
	o := outcome{status: answer.StatusCode, duration: time.Since(start)}
	if o.lookups, err = readCacheStatus(answer.Header.Values("Cache-Status")); err != nil {
		return o, err
	}
	o.server = readServerTiming(answer.Header.Values("Server-Timing"))
	return o, nil
}

func (d *httpDriver) request(ctx context.Context, c call, who origin.Identity, bypass bool) (*http.Request, error) {
	var body io.Reader
	if c.body != nil {
		b, err := json.Marshal(c.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, c.method, d.base+c.path, body)
	if err != nil {
		return nil, err
	}
	if c.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if who.Token != "" {
		r.Header.Set("Authorization", "Bearer "+who.Token)
	}
	if bypass {
		r.Header.Set("Ogcache-Mode", "bypass")
	}
	return r, nil
}

// readCacheStatus reads ogcache's members of a Cache-Status field (RFC 9211);
// those of other caches on the way are left out.
func readCacheStatus(field []string) ([]instrumented.Lookup, error) {
	if len(field) == 0 {
		return nil, nil
	}
	list, err := httpsfv.UnmarshalList(field)
	if err != nil {
		return nil, fmt.Errorf("the Cache-Status header is malformed: %w", err)
	}
	var lookups []instrumented.Lookup
	for _, member := range list {
		item, ok := member.(httpsfv.Item)
		if name, is := item.Value.(httpsfv.Token); !ok || !is || name != "ogcache" {
			continue
		}
		l, err := readLookup(item.Params)
		if err != nil {
			return nil, err
		}
		lookups = append(lookups, l)
	}
	return lookups, nil
}

func readLookup(params *httpsfv.Params) (instrumented.Lookup, error) {
	detail, _ := params.Get("detail")
	text, _ := detail.(string)
	name, result, special := strings.Cut(text, "/")
	family, known := families.ByName(name)
	if !known {
		return instrumented.Lookup{}, fmt.Errorf("the Cache-Status header names an unknown family %.40q", name)
	}
	l := instrumented.Lookup{Family: family, Result: instrumented.Miss}
	hit, _ := params.Get("hit")
	switch {
	case special:
		l.Result = instrumented.Result(result)
	case hit == true:
		l.Result = instrumented.Hit
	}
	for _, r := range instrumented.Results() {
		if l.Result == r {
			return l, nil
		}
	}
	return instrumented.Lookup{}, fmt.Errorf("the Cache-Status header has an unknown result %.40q", result)
}

// readServerTiming returns the duration of the metric total, 0 when there is
// none.
func readServerTiming(field []string) time.Duration {
	for _, metric := range strings.Split(strings.Join(field, ","), ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(metric), ";")
		if name != "total" {
			continue
		}
		for _, p := range strings.Split(params, ";") {
			if v, ok := strings.CutPrefix(strings.TrimSpace(p), "dur="); ok {
				if d, err := time.ParseDuration(v + "ms"); err == nil && d > 0 {
					return d
				}
			}
		}
	}
	return 0
}
