# Skerry. `make help` lists the targets.
GO       ?= go
BIN      ?= bin
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X skerry.dev/configs.Version=$(VERSION)
GOBUILD  := $(GO) build -ldflags '$(LDFLAGS)'
# The programs are static. What tests, vet and staticcheck compile is compiled by the same flags, so
# that it is compiled once.
export CGO_ENABLED := 0
export GOFLAGS     := $(strip $(GOFLAGS) -trimpath)
# The agent uses HTTP/1.1 only, with the hub and on its own pages: without HTTP/2 it is half a
# megabyte smaller. What serves metrics, commands, files that people write, telemetry of the host,
# pages and signed metadata alone is compiled without inlining: a third of a megabyte.
AGENTSMALL := google.golang.org/protobuf/... github.com/prometheus/... github.com/spf13/... go.yaml.in/... github.com/theupdateframework/... github.com/sigstore/... github.com/secure-systems-lab/... github.com/shirou/... github.com/kardianos/... encoding/gob text/template/... net/http crypto/x509 crypto/tls github.com/fsnotify/... github.com/nats-io/nkeys github.com/gorilla/websocket
AGENTTAGS := $(foreach p,$(AGENTSMALL),-gcflags=$(p)=-l) -tags nethttpomithttp2
# -race needs a C compiler; without one the tests run plainly. Coverage is measured in a run of
# its own, by the packages' own tests: counting atomically under the race detector takes minutes.
RACE     := $(shell command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 && echo -race)
NPM      := $(shell command -v npm 2>/dev/null)

.PHONY: help build full web run test field narrow lint layers cross bench month dialects domains retraining rollouts kills fleet clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  \1\t/' | expand -t 12

build: web ## build skerry-agent, skerry-hub and the demonstration into bin/
	$(GOBUILD) $(AGENTTAGS) -o $(BIN)/ ./agent/cmd/skerry-agent
	$(GOBUILD) -o $(BIN)/ ./hub/cmd/skerry-hub ./test/demo

full: ## build bin/skerry-agent-full, the agent that also runs WebAssembly features
	$(GOBUILD) $(AGENTTAGS),full -o $(BIN)/skerry-agent-full ./agent/cmd/skerry-agent

web: ## build the web UI with npm, where npm is there and the sources changed
ifneq ($(NPM),)
	@if [ -f hub/web/ui/package-lock.json ]; then $(MAKE) --no-print-directory hub/web/dist/index.html; fi
else
	@echo "npm is not installed: the hub will show a placeholder page instead of its web UI"
endif

hub/web/dist/index.html: $(shell find hub/web/ui -type f -not -path '*/node_modules/*' 2>/dev/null)
	cd hub/web/ui && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && npm run build --silent
	@touch $@

run: build ## the demonstration: a hub, four agents, years of real readings (ONCE=1 ends by itself)
	$(BIN)/demo $(if $(ONCE),--once) $(DEMO_FLAGS)

test: ## run every test, with the race detector where there is a C compiler, and print the coverage of compute and sync
ifneq ($(RACE),)
	CGO_ENABLED=1 $(GO) test -race -vet=off -timeout 20m ./...
endif
	$(GO) test -vet=off $(if $(RACE),-short) -timeout 20m -coverpkg=./compute/...,./sync/... -coverprofile=coverage.out $(if $(RACE),./compute/... ./sync/...,./...)
	@$(GO) run ./test/coverage -min 80 coverage.out ./compute ./sync

field: ## the disk that fills up and dies, 20 times each (as root; it needs mosquitto)
	SKERRY_FIELD_ROUNDS=20 $(GO) test -count=1 -timeout 30m -v -run 'Disk' ./test/field

narrow: ## the device's packages, and the trainers of trees, once more on 32 bits
	GOARCH=386 $(GO) test -vet=off -short ./compute/engine ./compute/feature/... ./compute/drift/... ./compute/anomaly ./compute/online/... ./compute/conformal ./compute/artifact ./compute/ensemble ./compute/binned ./compute/gbdt ./compute/forest ./sync/wire ./sync/outbox ./agent/task ./agent/cache

lint: ## gofmt, vet, staticcheck, package comments
	@bad=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$bad" ]; then echo "gofmt would change:"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

layers: ## check who may import whom, and that every package has a comment
	$(GO) test -count=1 ./test/layers

cross: ## build the agent for every platform it supports
	@for p in linux/amd64 linux/arm64 linux/arm linux/386 windows/amd64 darwin/arm64; do \
	  echo "$$p"; GOOS=$${p%/*} GOARCH=$${p#*/} $(GOBUILD) $(AGENTTAGS) -o /dev/null ./agent/cmd/skerry-agent || exit 1; done

bench: ## run the benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

month: ## 30 simulated days of four devices through a hub's ingest, lake and retention: what grows (10 minutes; MONTH_FLAGS)
	$(GO) run ./test/bench/month $(MONTH_FLAGS)

dialects: build full ## fit, evaluate and predict on the public tables in eleven writings (SKERRY_DATA); minutes
	$(GO) run ./test/bench/dialects --data $(SKERRY_DATA) --bin $(BIN)

domains: build ## seven public data sets through the whole loop, judged by what is published (SKERRY_DATA; DOMAINS_FLAGS); a quarter of an hour
	$(GO) run ./test/domains --data "$(SKERRY_DATA)" --bin $(BIN) $(DOMAINS_FLAGS)

retraining: ## retrain after changes of regime, and first models of the public data sets (SKERRY_DATA); a quarter of an hour
	SKERRY_FULL=1 $(GO) test -count=1 -timeout 60m -v -run 'TestRegimes|TestFirstModels' ./test/regimes ./test/domains

rollouts: ## simulate whole rollouts, 10,000 of each kind, with real series (SKERRY_DATA); hours
	$(GO) run ./test/bench/rollouts -runs 10000 -data $(SKERRY_DATA)

kills: ## 200 kills during rollouts, and 120 bad and good models rolled out, by real programs; an hour
	LOOP_KILLS=200 LOOP_ROLLOUTS=120 $(GO) test -count=1 -timeout 4h -v -run 'TestKillsDuringRollouts|TestManyRollouts' ./test/loop

fleet: ## roll out to 10,000 simulated devices at one hub
	$(GO) run ./test/bench/fleet -devices 10000

clean: ## remove what was built
	rm -rf $(BIN) run coverage.out run-summary.json hub/web/dist/assets hub/web/dist/index.html
