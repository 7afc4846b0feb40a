# Everything that is done with this repository. `make` alone lists it.

CARGO ?= cargo
COMPOSE ?= docker compose

# Only with it the choices of the runtime follow from a seed.
SIMULATED = --cfg tokio_unstable

.DEFAULT_GOAL := help
.PHONY: help demo build packages tarballs image compose test prerequisites lint lint-workflows fuzz bench-accuracy bench-accuracy-long bench-resumption bench-scrape bench-hostile bench-scale bench-cost simulate build-simulation test-simulation soak screenshots book chart release deny clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## build and run the demo: no mail server, no configuration needed
	@scripts/install-prerequisites build
	$(CARGO) run --release --locked -- demo

build: ## build the program: target/release/mailtrip_exporter
	@scripts/install-prerequisites build
	$(CARGO) build --release --locked

tarballs: ## build archives for every Linux with glibc 2.28, amd64 and arm64, by cargo-zigbuild: target/tarballs
	@CARGO='$(CARGO)' scripts/tarball amd64 arm64

image: ## build the container image by podman or docker: mailtrip_exporter, with the version as its tag
	@scripts/image

compose: ## run the demo of deploy/compose: mail server, exporter, Prometheus, Alertmanager, Grafana
	cd deploy/compose && REVISION=$$(git rev-parse HEAD 2>/dev/null) $(COMPOSE) up --build

packages: ## build the packages of Debian and of Fedora and RHEL: target/packages
	@CARGO='$(CARGO)' scripts/package

test: ## check everything: style, lints, documentation, all tests; those that need root by sudo
	@CARGO='$(CARGO)' scripts/test

prerequisites: ## install what the tests need and is missing: Postfix, Dovecot, Exim, Courier, promtool, Chromium and more
	@scripts/install-prerequisites test

lint: ## check style, lints, documentation and scripts, without running a test
	@for script in scripts/* .ci/run deploy/compose/mail/start deploy/compose/mail/fault deploy/package/*/p[or]* tests/it/*/*.sh tests/it/*/*/*.sh; do \
		bash -n "$$script" || exit 1; done
	$(CARGO) fmt --all --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --locked --workspace --exclude mailtrip-simulation --all-targets -- -D warnings
	$(CARGO) clippy --locked --workspace --exclude mailtrip-simulation -- -D warnings
	$(CARGO) clippy --locked --package mailtrip-simulation --all-targets -- -D warnings
	CARGO_TARGET_DIR=target $(CARGO) clippy --locked --manifest-path fuzz/Cargo.toml --no-default-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --document-private-items

lint-workflows: ## check the workflows of GitHub by actionlint and zizmor
	@scripts/lint-workflows

fuzz: ## search for input that a parser does not bear: TARGET=imap, SECONDS=60; without, a minute for each target
	@scripts/fuzz run "$(TARGET)" "$(SECONDS)"

bench-accuracy: ## compare the round trip with the truth, over distance, wrong clocks, restarts; four minutes
	@scripts/install-prerequisites bench
	$(CARGO) bench --locked --bench accuracy

bench-accuracy-long: ## the same, every combination and 200 targets: the table of docs/accuracy.md; 25 minutes
	@scripts/install-prerequisites bench
	MAILTRIP_BENCH_LONG=1 $(CARGO) bench --locked --bench accuracy

bench-resumption: ## compare TLS handshakes in full with resumed ones; some seconds
	@scripts/install-prerequisites build
	$(CARGO) bench --locked --bench resumption

bench-scrape: ## measure the answers about 10,000 targets: processor time, memory, time; some seconds
	@scripts/install-prerequisites build
	$(CARGO) bench --locked --bench scrape

bench-hostile: ## play every server of docs/hostile.md to the built program: the figures of its table; some fifteen minutes
	@scripts/install-prerequisites build
	MAILTRIP_SOAK_ROWS=1 $(CARGO) bench --locked --bench soak

bench-scale: ## measure what a target costs, from one to ten thousand: the table of docs/sizing.md; 25 minutes; TARGETS, MINUTES, PERIOD
	@scripts/install-prerequisites build
	TARGETS='$(TARGETS)' MINUTES='$(MINUTES)' PERIOD='$(PERIOD)' $(CARGO) bench --locked --bench scale

bench-cost: ## compare the processor time of a round trip with that of a C program that does the same; eight minutes
	@scripts/install-prerequisites build
	MAILTRIP_SCALE_COST=1 $(CARGO) bench --locked --bench scale

simulate: ## live through 30 days of 20 servers with everything failing at random; SEED, DAYS, SITES, PERIOD, EVENTS, or MINUTES=60 for one after the other
	@scripts/install-prerequisites build
	@RUSTFLAGS='$(SIMULATED)' $(CARGO) run --quiet --locked --profile simulation --package mailtrip-simulation -- \
		$(if $(SEED),seed=$(SEED)) $(if $(DAYS),days=$(DAYS)) $(if $(SITES),sites=$(SITES)) \
		$(if $(PERIOD),period=$(PERIOD)) $(if $(EVENTS),events=$(EVENTS)) $(if $(SERVERS),servers=$(SERVERS)) $(if $(TLS),tls=$(TLS)) $(if $(TRACE),trace=$(TRACE)) $(if $(DIALOGUES),dialogues=$(DIALOGUES)) $(if $(MINUTES),minutes=$(MINUTES))

test-simulation: ## live through worlds with everything failing: some that are always the same, and for two minutes others
	@RUSTFLAGS='$(SIMULATED)' $(CARGO) test --locked --profile simulation --package mailtrip-simulation

build-simulation: ## compile what that runs
	@RUSTFLAGS='$(SIMULATED)' $(CARGO) test --locked --profile simulation --package mailtrip-simulation --no-run

soak: ## an hour of 50 test mails a second against servers half of which misbehave; MINUTES=5 for a try
	@scripts/install-prerequisites build
	MINUTES=$(or $(MINUTES),60) $(CARGO) bench --locked --bench soak

screenshots: prerequisites ## draw the pictures of README.md: the demo in a real browser; some two minutes
	$(CARGO) run --locked --example screenshots

book: ## build the documentation as a book: target/book/index.html
	@scripts/book

chart: ## pack the Helm chart: target/chart
	@scripts/chart

release: ## make all files of a release: target/release-VERSION; TRY=1 for a try; see docs/releasing.md
	@CARGO='$(CARGO)' scripts/release $(if $(TRY),--try)

deny: ## check licences, sources and known faults of all dependencies; MAILTRIP_OFFLINE=1 without the known faults
	@CARGO='$(CARGO)' scripts/deny

clean: ## remove everything that was built
	$(CARGO) clean
