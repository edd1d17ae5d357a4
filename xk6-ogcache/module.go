// Package ogcache is the k6 extension k6/x/ogcache: a client that carries out
// the traffic model's events against ogcache's HTTP API, or in process against
// Redis and PostgreSQL, and an output that counts exactly in flat memory.
package ogcache

import (
	"fmt"
	"sync"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/js/common"
	"go.k6.io/k6/v2/js/modules"
)

// module is what all virtual users of a process share: the targets, opened
// once each.
type module struct {
	mu      sync.Mutex
	targets map[settings]*target
}

var _ modules.Module = (*module)(nil)

func newModule() *module { return &module{targets: make(map[settings]*target)} }

// NewModuleInstance implements modules.Module.
func (m *module) NewModuleInstance(vu modules.VU) modules.Instance {
	metrics, err := registerMetrics(vu.InitEnv().Registry)
	if err != nil {
		common.Throw(vu.Runtime(), fmt.Errorf("registering ogcache's metrics: %w", err))
	}
	return &instance{vu: vu, module: m, metrics: metrics}
}

// instance is the module as one virtual user sees it.
type instance struct {
	vu      modules.VU
	module  *module
	metrics *instanceMetrics
}

// Exports implements modules.Instance.
func (i *instance) Exports() modules.Exports {
	return modules.Exports{Named: map[string]any{"Client": i.newClient}}
}

// newClient is the constructor new Client(settings). It does no I/O.
func (i *instance) newClient(call sobek.ConstructorCall) *sobek.Object {
	rt := i.vu.Runtime()
	env := i.vu.InitEnv()
	if env == nil {
		common.Throw(rt, fmt.Errorf("new Client(…) belongs into the init context, outside of all functions"))
	}
	s, err := parseSettings(call.Argument(0).Export(), env.RuntimeOptions.Env)
	if err != nil {
		common.Throw(rt, fmt.Errorf("new Client(…): %w", err))
	}
	return rt.ToValue(&client{instance: i, target: i.module.target(s)}).ToObject(rt)
}

// target returns the one target that has these settings.
func (m *module) target(s settings) *target {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.targets[s]
	if !ok {
		t = &target{settings: s}
		m.targets[s] = t
	}
	return t
}
