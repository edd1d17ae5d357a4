# Prints the targets when called without one.
.DEFAULT_GOAL := help

# Two packages at a time: each may run servers of its own, and more of them
# would only take each other's processor. No cached results: what the tests
# start is not part of the cache's key.
GO_TEST := go test -race -count=1 -p 2 -timeout 10m

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## serve the dashboard on embedded parts under realistic traffic
	go run ./cmd/dashboard demo

.PHONY: test
test: prerequisites lint ## check everything at reduced size, 12 minutes at most
	$(GO_TEST) ./...

.PHONY: prerequisites
prerequisites: ## check, or under CI install, what the tests need besides Go
	@scripts/prerequisites

.PHONY: lint
lint: ## format, vet, staticcheck, modules, stale generated files
	@scripts/lint

.PHONY: generate
generate: ## write the Go code of the templ files
	go tool -modfile=tools/go.mod templ generate

.PHONY: screenshot
screenshot: ## take docs/overview.png of a running demo
	scripts/screenshot

.PHONY: bench
bench: ## compare the cache client with its peers, BENCH_COUNT=10 rounds
	scripts/bench

# How many writes make chaos makes.
STALE_WRITES ?= 1000000

.PHONY: chaos
chaos: ## make Redis fail in every way under load; count old reads over STALE_WRITES writes
	go test -run '^$$' -bench Faults -benchtime 1x -timeout 30m ./internal/instrumented
	go test -run '^$$' -bench Stale -benchtime $(STALE_WRITES)x -timeout 60m ./internal/instrumented

.PHONY: prove
prove: test bench chaos ## run the tests and the benchmarks
