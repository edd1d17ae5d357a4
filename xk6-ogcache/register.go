package ogcache

import (
	"go.k6.io/k6/v2/js/modules"
	"go.k6.io/k6/v2/output"
)

func init() {
	modules.Register("k6/x/ogcache", newModule())
	output.RegisterExtension("ogcache", newCounts)
}
