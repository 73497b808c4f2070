# What people do with the tree. `make help` lists it.

PROGRAMS := plantd-broker plantd-module-echo plantd-module-metric plantd-logger plantd-state plantd plant
CARGO    ?= cargo
TARGET   := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help setup build test test-integration lint bench bench-large sim fuzz faults run clean

help: ## help: list the targets
	@sed -n 's/^[^\t#]*:.*## //p' $(MAKEFILE_LIST)

setup: ## setup: fetch the toolchain and the dependencies
	rustup show active-toolchain || rustup toolchain install
	$(CARGO) fetch --locked

build: ## build: build every program into build/, optimised
	$(CARGO) build --release --locked $(PROGRAMS:%=--package=%)
	mkdir -p build
	install $(PROGRAMS:%=$(TARGET)/release/%) build/

build-%: PROGRAM = $(filter $* plantd-$*,$(PROGRAMS))
build-%: ## build-DAEMON: build one, such as build-broker, build-state or build-plantd
	$(CARGO) build --release --locked --package=$(PROGRAM)
	mkdir -p build
	install $(TARGET)/release/$(PROGRAM) build/

test: ## test: run every test
	$(CARGO) test --workspace

test-integration: ## test-integration: run the tests that cross packages: end to end, conformance, interop
	$(CARGO) test --package=plantd-tests

lint: ## lint: check format, lints and documentation as CI does
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

bench: ## bench: measure requests, buses and state beside libzmq, the zeromq crate, NATS and Redis (docs/performance.md)
	$(CARGO) run --release --locked --package=plantd-bench -- request
	$(CARGO) run --release --locked --package=plantd-bench -- bus
	$(CARGO) run --release --locked --package=plantd-bench -- state --seconds 2

bench-large: ## bench-large: measure a store with ten million keys; minutes, and gigabytes of disk
	$(CARGO) run --release --locked --package=plantd-bench -- state-large

sim: ## sim: play 10,000 seeds, and each planted bug
	$(CARGO) run --release --locked --package=plantd-sim -- --seeds 10000
	$(CARGO) run --release --locked --package=plantd-sim -- --planted

FUZZ_SECONDS ?= 60

fuzz: ## fuzz: run every fuzzer for FUZZ_SECONDS; needs nightly Rust and cargo-fuzz
	for target in $(sort $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))); do \
	  $(CARGO) +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=2000 || exit 1; done

faults: ## faults: kill, stop, cut off and flood real processes for 10 minutes
	$(CARGO) run --release --locked --package=plantd-faults -- --minutes 10

run: build ## run: run the Procfile with Overmind, foreman or honcho, whichever is there
	@if command -v overmind >/dev/null; then OVERMIND_ENV=.env.development exec overmind start; \
	elif command -v foreman >/dev/null; then exec foreman start --env .env.development; \
	elif command -v honcho >/dev/null; then exec honcho --env .env.development start; \
	else echo "install Overmind, foreman or honcho, or run build/plantd for all in one process" >&2; exit 1; fi

clean: ## clean: remove what was built
	$(CARGO) clean
	rm -rf build
