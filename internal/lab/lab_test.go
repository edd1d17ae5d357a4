package lab_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oglab/ogcache/internal/instrumented"
	"github.com/oglab/ogcache/internal/lab"
	"github.com/oglab/ogcache/internal/scenarios"
)

func open(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	l, err := lab.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestEveryOperationRunsInProcess(t *testing.T) {
	l := open(t, lab.Options{Users: 20, Seed: 1})
	d := l.Driver()
	for i, op := range scenarios.Operations() {
		for _, bypass := range []bool{false, true} {
			o, err := d.Do(t.Context(), scenarios.Event{Index: uint64(i), Operation: op, User: i}, bypass)
			if err != nil || o.Status != http.StatusOK || len(o.Lookups) == 0 {
				t.Errorf("%s (bypass %v): %+v, %v", op, bypass, o, err)
			}
			for _, look := range o.Lookups {
				if (look.Result == instrumented.Bypass) != bypass {
					t.Errorf("%s (bypass %v): a lookup of %s was a %s", op, bypass, look.Family, look.Result)
				}
			}
		}
	}
	for _, op := range []scenarios.Operation{scenarios.Conversation, scenarios.Telegram} {
		o, err := d.Do(t.Context(), scenarios.Event{Operation: op, Absent: true}, false)
		if err != nil || o.Status != http.StatusNotFound {
			t.Errorf("an absent %s: %+v, %v; want 404 and no error", op, o, err)
		}
	}
	if _, err := d.Do(t.Context(), scenarios.Event{Operation: "fly"}, false); err == nil {
		t.Error("an unknown operation succeeded")
	}
}

func TestEmulatedDelaysAreRecorded(t *testing.T) {
	reg := prometheus.NewRegistry()
	l := open(t, lab.Options{Users: 5, Network: "guide", Registerer: reg})
	for range 5 {
		if _, err := l.Agent.Menu(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	gathered, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	delays := make(map[string]uint64)
	for _, family := range gathered {
		if family.GetName() != "ogcache_emulated_delay_seconds" {
			continue
		}
		for _, m := range family.GetMetric() {
			h := m.GetHistogram()
			delays[m.GetLabel()[0].GetValue()] = h.GetSampleCount()
			// However late a timer, a delay is not shorter than it was drawn.
			if least := map[string]float64{"redis": 0.0008, "menu_items": 0.05}[m.GetLabel()[0].GetValue()]; h.GetSampleSum() < least*float64(h.GetSampleCount()) {
				t.Errorf("%v: %v seconds in %d delays", m.GetLabel(), h.GetSampleSum(), h.GetSampleCount())
			}
		}
	}
	if delays["menu_items"] != 1 || delays["redis"] < 5 {
		t.Errorf("recorded %v; want one load of the menu and a round trip for every command", delays)
	}
}

func TestImpossibleLaboratories(t *testing.T) {
	for says, o := range map[string]lab.Options{
		"1 to 2000 users": {Users: 2001},
		"unknown network": {Network: "moon"},
	} {
		if _, err := lab.New(o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want an error that says %q", o, err, says)
		}
	}
}
