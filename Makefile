# `make help` lists the targets. Go is all that build, demo and test-short need; test, e2e, bench and stack-up also need a
# JDK 17 or newer and Maven (Debian: apt-get install openjdk-17-jdk-headless maven).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Set for a released build, a tag like v1.2.3; otherwise the binary says "devel" and its revision.
VERSION ?= $(shell git describe --tags --exact-match --match 'v*' 2>/dev/null || true)
LDFLAGS := -s -w $(if $(VERSION),-X kubescribe/internal/daemon.release=$(VERSION))

# The go command stops where git does not trust the owner of the folder; a build without the revision is better than none.
ifneq ($(shell git rev-parse --git-dir >/dev/null 2>&1 && git status --porcelain >/dev/null 2>&1; echo $$?),0)
export GOFLAGS := $(GOFLAGS) -buildvcs=false
endif

# The binary needs no C library. Tests are built the same way, so that both share what is compiled.
export CGO_ENABLED := 0

# Tools live in modules of their own, so that they and the project do not choose each other's dependencies.
GOLANGCI := go tool -modfile=tools/golangci-lint/go.mod golangci-lint
GOTESTSUM := go tool -modfile=tools/gotestsum/go.mod gotestsum
STACK := go run ./test/stack/cmd/stack

# The race detector needs a C compiler. It is on where goroutines share memory; SQLite in Go under it is too slow.
RACE := $(if $(shell command -v gcc || command -v clang),-race)
CONCURRENT := ./internal/stream/... ./internal/daemon/... ./internal/embedded/... ./producer/... ./enricher/... ./indexer/... ./alerter/...
E2E_TESTS := kubescribe/test/e2e
GENERATED := schemas/json/v1 docs

# What test-packages tests; narrow it like make test-packages PACKAGES=./schemas/...
PACKAGES ?= ./...

# Packages that share the machine's two cores with a Kafka and an Elasticsearch: no more than two at once.
GOTEST := -p 2 -timeout 25m
RESULTS := bin/test-results

##@ Build and look

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9%-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/kubescribe
	go build -ldflags '$(LDFLAGS)' -o bin/kubescribe ./cmd/kubescribe

.PHONY: demo
demo: ## Play the shipped recording through all services; DEMO_ONCE=1 stops at the end and prints one JSON object
	@$(MAKE) build >&2
ifdef DEMO_ONCE
	@data=$$(mktemp -d); trap 'rm -rf "$$data"' EXIT; \
	bin/kubescribe local --replay testdata/recordings/kwok-shop.ndjson --once --rules rules --data-dir "$$data" -o json
else
	@data=$$(mktemp -d); trap 'rm -rf "$$data"' EXIT; \
	bin/kubescribe local --replay testdata/recordings/kwok-shop.ndjson --rules rules --data-dir "$$data"
endif

##@ Test

.PHONY: test
test: ## Everything that CI runs: lint, generated files, all tests on the real stack, end to end
	@start=$$(date +%s); \
	$(MAKE) prepare; \
	$(MAKE) lint; \
	$(MAKE) generated; \
	$(MAKE) test-packages; \
	$(MAKE) test-e2e; \
	echo "make test: passed in $$(( $$(date +%s) - start )) s: lint, generated files, $$(cat $(RESULTS)/*.count | awk '{n += $$1; s += $$2} END {print n " tests, " s " skipped"}')$(if $(RACE),, (without the race detector: there is no C compiler))"

.PHONY: test-short
test-short: ## The tests that need neither the real stack nor the network
	CI= go test -short -p 2 ./...

.PHONY: prepare
prepare: ## Fetch and build what the real stack needs and the cache lacks
	$(STACK) prepare

.PHONY: test-packages
test-packages: ## All tests but the end-to-end tests, on the real stack; PACKAGES narrows them
	@mkdir -p $(RESULTS) && rm -f $(RESULTS)/*
	@all=$$(go list $(PACKAGES) | grep -vx '$(E2E_TESTS)'); racy=$$(go list $(CONCURRENT)); \
	concurrent=$$(grep -Fx "$$racy" <<<"$$all" || true); other=$$(grep -vFx "$$racy" <<<"$$all" || true); \
	if [ -n "$$concurrent" ]; then \
		CGO_ENABLED=$(if $(RACE),1,0) $(GOTESTSUM) --format standard-quiet --jsonfile $(RESULTS)/concurrent.json -- $(GOTEST) $(RACE) $$concurrent; \
	fi; \
	if [ -n "$$other" ]; then \
		$(GOTESTSUM) --format standard-quiet --jsonfile $(RESULTS)/other.json -- $(GOTEST) $$other; \
	fi
	@$(MAKE) count

.PHONY: test-e2e
test-e2e: ## Every end-to-end test
	@mkdir -p $(RESULTS) && rm -f $(RESULTS)/e2e.*
	@$(GOTESTSUM) --format standard-verbose --jsonfile $(RESULTS)/e2e.json -- -timeout 60m -parallel 2 -count=1 $(E2E_TESTS)
	@$(MAKE) count

# Counts what ran. In CI a skipped test is a failed one.
.PHONY: count
count:
	@for f in $(RESULTS)/*.json; do \
		skipped=$$(grep '"Action":"skip"' "$$f" | grep -c '"Test":' || true); \
		echo "$$(grep '"Action":"pass"' "$$f" | grep -c '"Test":') $$skipped" > "$${f%.json}.count"; \
		if [ "$${CI:-}" = true ] && [ "$$skipped" != 0 ]; then \
			echo "$$skipped tests were skipped, and in CI nothing may be:"; grep '"Action":"skip"' "$$f" | grep '"Test":'; exit 1; \
		fi; \
	done

.PHONY: e2e
e2e: ## One end-to-end test on the real stack: make e2e T=NAME (T=list names all)
	@if [ -z "$(T)" ]; then echo "say which: make e2e T=NAME; T=list names all" >&2; exit 2; fi
	@if [ "$(T)" != list ]; then $(MAKE) build >&2; fi
	@go run ./test/e2e/run $(T)

.PHONY: nightly
nightly: test ## What takes longer than CI has: make test, a minute of fuzzing for each decoder, all benchmarks
	@go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | while read -r package; do \
		for fuzz in $$(go test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do \
			echo "$$package $$fuzz"; go test -run '^$$' -fuzz "^$$fuzz\$$" -fuzztime $(or $(FUZZTIME),60s) "$$package"; \
		done; \
	done
	@$(MAKE) bench

##@ Keep in order

.PHONY: lint
lint: ## Run the linters
	$(GOLANGCI) run ./...

.PHONY: fmt
fmt: ## Format the Go files
	$(GOLANGCI) fmt ./...

.PHONY: generate
generate: ## Write the generated files: JSON Schemas, references
	go generate ./...

.PHONY: generated
generated: generate ## Fail when a generated file is not what is committed
	git diff --exit-code -- $(GENERATED)
	@new=$$(git ls-files --others --exclude-standard -- $(GENERATED)); \
	if [ -n "$$new" ]; then echo "generated and not committed: $$new"; exit 1; fi

.PHONY: release-schemas
release-schemas: ## Make the JSON Schemas the released ones that the compatibility test compares with
	go run ./schemas/internal/generate -release

##@ Measure and try

.PHONY: bench
bench: ## Measure every stage against a ceiling of the same run; UPDATE=1 writes the baseline
	@go run ./bench/run $(if $(UPDATE),-update bench/baseline.json) all

.PHONY: bench-%
bench-%: ## Measure one stage: make bench-producer (make bench-list names all)
	@go run ./bench/run $*

.PHONY: stack-up
stack-up: ## Start a real Kafka, Elasticsearch and Kubernetes control plane, and print their addresses
	@$(STACK) up

.PHONY: stack-down
stack-down: ## Stop them
	@$(STACK) down

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin
