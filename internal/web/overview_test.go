package web

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/oglab/ogcache/internal/families"
	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/keyspace"
	"github.com/oglab/ogcache/internal/views"
)

// fakeClient is a cache client with counts as a test sets them.
type fakeClient struct {
	absent, down bool
	lookups      map[instrumented.Result]uint64 // of the menu
}

func (c *fakeClient) Configured() bool { return !c.absent }
func (c *fakeClient) Available() bool  { return !c.absent && !c.down }

func (c *fakeClient) Stats() instrumented.Stats {
	lookups := make(map[instrumented.Result]uint64)
	for r, n := range c.lookups {
		lookups[r] = n
	}
	return instrumented.Stats{
		At:       time.Now(),
		Families: map[string]instrumented.FamilyStats{families.MenuItems.Name: {Lookups: lookups}},
	}
}

func idle() views.Action { return views.Action{} }

func menuOf(t *testing.T, v views.Overview) views.Family {
	t.Helper()
	for _, f := range v.Families {
		if f.Name == families.MenuItems.Name {
			return f
		}
	}
	t.Fatal("no row of the menu")
	return views.Family{}
}

func TestOverviewKeepsAWindowOfOneMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{lookups: map[instrumented.Result]uint64{}}
		o := newOverview(client, nil, nil, views.Surroundings{}, idle)
		for second := range 100 {
			time.Sleep(time.Second) // of the bubble's clock
			client.lookups[instrumented.Hit] += 9
			client.lookups[instrumented.Miss]++
			o.sample()
			if second == 9 {
				if v := o.current(); v.Window != 10*time.Second || v.Recent.Hits != 90 {
					t.Errorf("after 10 s: window %v, %d hits", v.Window, v.Recent.Hits)
				}
			}
		}
		v := o.current()
		if v.Window != time.Minute || len(v.Trend) != 60 {
			t.Errorf("window %v, trend of %d s", v.Window, len(v.Trend))
		}
		if v.Total != (views.Lookups{Hits: 900, Misses: 100}) || v.Recent != (views.Lookups{Hits: 540, Misses: 60}) {
			t.Errorf("total %+v, recent %+v", v.Total, v.Recent)
		}
		if s := v.Trend[59]; s != (views.Second{Hits: 9, Misses: 1}) {
			t.Errorf("last second %+v", s)
		}
		if f := menuOf(t, v); f.Rate != 10 || f.Total.All() != 1000 {
			t.Errorf("menu %+v", f)
		}
		if len(v.Families) != len(families.All()) || v.Families[0].Name != families.All()[0].Name {
			t.Error("the rows are not the families in their order")
		}
	})
}

func TestOverviewCountsEveryResultOnce(t *testing.T) {
	client := &fakeClient{lookups: map[instrumented.Result]uint64{}}
	for i, r := range instrumented.Results() {
		client.lookups[r] = 1 << i
	}
	v := newOverview(client, nil, nil, views.Surroundings{}, idle).current()
	if all := uint64(1<<len(instrumented.Results()) - 1); v.Total.All() != all {
		t.Errorf("%d lookups shown of %d", v.Total.All(), all)
	}
}

func TestRedisHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{lookups: map[instrumented.Result]uint64{}}
		o := newOverview(client, nil, nil, views.Surroundings{}, idle)
		expect := func(want views.State, detail string) {
			t.Helper()
			if got := o.current().Redis; got.State != want || !strings.Contains(plain(got.Detail), detail) {
				t.Errorf("Redis is %+v, want %s with %q", got, want, detail)
			}
		}
		expect(views.Available, "")
		client.lookups[instrumented.Hit], client.lookups[instrumented.Error], client.lookups[instrumented.Bypass] = 99, 1, 100
		expect(views.Degraded, "1.0 % of the lookups of the last 10 s")
		pass := func(seconds int) {
			for range seconds {
				time.Sleep(time.Second)
				o.sample()
			}
		}
		pass(8)
		expect(views.Degraded, "1.0 %")
		pass(3)
		expect(views.Available, "")
		client.down = true
		expect(views.Unavailable, "Reads are served from the database")
		client.absent = true
		expect(views.Absent, "every read is served from the database")
	})
}

func TestOverviewShowsTheScanAndWhatIsWrong(t *testing.T) {
	keys := &fakeKeys{snapshot: keyspace.Snapshot{
		TakenAt: time.Now().Add(-3 * time.Second), Took: 12 * time.Millisecond, Scanned: 9, BytesOffered: true,
		Families: map[string]keyspace.FamilyKeys{
			families.MenuItems.Name: {Keys: 3, Bytes: 300, NoExpiry: 2, OverPolicy: 1, TTL: [12]int64{11: 1}},
			families.Other:          {Keys: 6},
		},
	}}
	o := newOverview(&fakeClient{}, keys, nil, views.Surroundings{}, idle)
	o.probe(t.Context())
	v := o.current()
	if s := v.Scan; !s.Known || s.Scanned != 9 || s.Other != 6 || !s.BytesOffered || s.Memory != "1.2M" || s.Age < 3*time.Second {
		t.Errorf("scan %+v", s)
	}
	menu := menuOf(t, v)
	if k := menu.Keys; k.Count != 3 || k.Bytes != 300 || k.Left[11] != 1 || k.Lifetime != 30*time.Minute {
		t.Errorf("keys %+v", k)
	}
	if got := plain(strings.Join(menu.Problems, " ")); got != "2 keys have no expiry and would stay for ever. 1 key lives longer than the family's 30 min." {
		t.Errorf("problems %q", got)
	}
}

func TestDatabaseHealth(t *testing.T) {
	var away error
	o := newOverview(&fakeClient{}, nil, func(context.Context) error { return away }, views.Surroundings{}, idle)
	if got := o.current().Database.State; got != views.Checking {
		t.Errorf("before the first ping: %s", got)
	}
	o.probe(t.Context())
	if got := o.current().Database; got.State != views.Available || !strings.HasPrefix(got.Detail, "Answered a ping in ") {
		t.Errorf("answering: %+v", got)
	}
	away = errors.New("password=secret")
	o.probe(t.Context())
	if got := o.current().Database; got.State != views.Unavailable || strings.Contains(got.Detail, "secret") {
		t.Errorf("away: %+v", got)
	}
	if got := newOverview(&fakeClient{}, nil, nil, views.Surroundings{}, idle).current().Database.State; got != views.Available {
		t.Errorf("embedded: %s", got)
	}
}

// The latencies and the speed-up come from the client's own histograms.
func TestSpeedupIsMeasured(t *testing.T) {
	server := miniredis.RunT(t)
	client, err := instrumented.NewRedis(instrumented.RedisOptions{Addrs: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := instrumented.New(instrumented.Options{Redis: client})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	defer cache.Close()

	network := views.Network{Profile: "guide", Origin: map[string]time.Duration{
		"auth_token": 150 * time.Millisecond, "user_profile": 100 * time.Millisecond, "conversation_list": 80 * time.Millisecond,
	}}
	o := newOverview(cache, nil, nil, views.Surroundings{Network: network}, idle)
	menus := instrumented.For[string](cache, families.MenuItems)
	const delay = 200 * time.Millisecond
	load := func(ctx context.Context) (string, error) {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
		return "soup", ctx.Err()
	}
	for range 20 {
		ctx, request := cache.Start(t.Context(), apiOperation, false)
		if _, err := menus.Fetch(ctx, families.MenuItems.Single, load); err != nil {
			t.Fatal(err)
		}
		request.End(ctx)
	}
	v := o.current()
	menu := menuOf(t, v)
	if menu.Recent.Hits+menu.Recent.Misses != 20 || menu.Recent.Misses == 0 || !menu.Miss.P50.OK || !menu.Hit.P95.OK {
		t.Fatalf("menu %+v", menu)
	}
	for _, op := range v.Speedup.Operations {
		switch op.Of {
		case families.MenuItems.Name, "/api/bootstrap":
			// The histograms are exact to about 5 %.
			if factor, ok := op.Factor(); !ok || factor <= 1 || op.Uncached.Seconds < 0.95*delay.Seconds() {
				t.Errorf("%+v", op)
			}
		default:
			if _, ok := op.Factor(); ok {
				t.Errorf("%s has a speed-up although nothing was measured", op.Of)
			}
		}
	}
	if last := v.Speedup.Operations[len(v.Speedup.Operations)-1]; last.Emulated != 250*time.Millisecond {
		t.Errorf("delay of the API response %v, want session and the slower of profile and list", last.Emulated)
	}
	// One load and 19 hits of nearly no time: about 20 times faster on average.
	if !v.Speedup.MeanOK || v.Speedup.Mean < 2 || v.Speedup.Mean > 21.1*1.1 {
		t.Errorf("mean %+v", v.Speedup)
	}
}
