// Package bench measures ogcache's cache client beside its peers. It is a
// module of its own, so that the peers are no dependencies of the product.
//
// Every benchmark has one sub-benchmark per implementation, named impl=…, and
// all of them do the same work in one run. scripts/bench alternates them and
// cmd/ratios compares them with what was set out to be reached.
package bench
