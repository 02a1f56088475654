# Thin on purpose: each target is the commands one would type.

# One profile for everything that `make test` builds, so that each crate is compiled once.
PROFILE := ci
RUNNER := $(if $(shell command -v cargo-nextest),nextest run --cargo-profile,test --profile)

.PHONY: run release test setup lint bench budgets load sipp compare scale prices ser soak soak-memory fuzz

# The router with caller and vendors on loopback, until Ctrl-C: make run ARGS="--seconds 10"
run:
	cargo run --release -- demo $(ARGS)

# trunkline as carriers should run it, laid out by the calls it was trained with: target/dist/trunkline.
release: setup
	scripts/release.sh

test: setup lint
	cargo run --locked --profile $(PROFILE) -p sim -- --seeds 2000
	TRUNKLINE_MUTATIONS=10000000 cargo $(RUNNER) $(PROFILE) --workspace --locked
	$(MAKE) budgets

# Debian packages and cargo-deny, where they are missing.
setup:
	scripts/setup.sh

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --profile $(PROFILE) -- -D warnings
	cargo deny check licenses bans sources

# Criterion: make bench ARGS=parse
bench:
	cargo bench -p benches -- $(ARGS)

# Instructions of the hot paths against benches/budgets.txt: make budgets ARGS=--bless
budgets:
	cargo bench --locked -p benches --bench instructions -- $(ARGS)

# 1,000 calls/s by SIPp for 60 s from one address and port through 2 shards; cdr-check judges.
load:
	cargo build --release --locked -p trunkline -p perf
	scripts/load.sh $(ARGS)

# One SIPp scenario of perf/sipp through a router: make sipp SCENARIO=uac-cancel ARGS="1000 100"
SCENARIO :=
sipp:
	cargo build --release --locked -p trunkline -p perf
	scripts/sipp.sh $(SCENARIO) $(ARGS)

# trunkline and Kamailio by turns on one core; the table, and a page in perf/results:
# make compare ARGS="--quick", ARGS="--callgrind"; the others are `trunkline-perf overload`, `memory`.
PERF := $${CARGO_TARGET_DIR:-target}/dist/trunkline-perf
compare: release
	$(PERF) compare $(ARGS)

# Instructions of a call with one shard and with two, steered and handed over (valgrind):
# make scale ARGS="--rounds 3"
scale: release
	$(PERF) scale $(ARGS)

# Ten million prices of twenty vendors: time to read, memory, and what calls feel when prices are
# exchanged: make prices ARGS="--share 0.8 --out perf/results"
prices: release
	$(PERF) prices $(ARGS)

# The session establishment rate of RFC 7502: make ser ARGS="--quick"
ser: release
	$(PERF) establish $(ARGS)

# The simulator in real time: make soak SECONDS=3600 FROM=100000
SECONDS := 600
FROM := 1000000
soak:
	cargo run --release --locked -p sim -- --from $(FROM) --seconds $(SECONDS)

# A million calls of every kind through one router in virtual time; memory must stay flat: fault B31.
ROUNDS := 62500
soak-memory:
	TRUNKLINE_SOAK_ROUNDS=$(ROUNDS) cargo test --release --locked -p router --test soak

# libFuzzer on one target of fuzz/targets (needs nightly and cargo-fuzz): make fuzz TARGET=parse
TARGET := parse
fuzz:
	cargo +nightly fuzz run $(TARGET) -- -max_total_time=$(SECONDS)
