# Everything here is cargo and a shell script. On Windows and macOS cargo alone does.
export PATH := $(PATH):$(HOME)/.cargo/bin
.PHONY: help demo test test-swiftshader validate tint deny bench tune growth lint doc vulkan rust
.DEFAULT_GOAL := help

help: ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/'

demo: rust vulkan ## Train an energy of real digits and weigh its modes; more flags with ARGS='--seed 2'
	cargo run --locked --release --example ebm_mnist -- $(ARGS)

test: rust vulkan ## Run every test: unit, integration, documentation; examples are compiled
	cargo test --locked --no-fail-fast

test-swiftshader: rust vulkan ## The tests on a second software driver, where it can be had; a part with ARGS='--test rng_bits'
	@manifest=$$(scripts/ensure-swiftshader.sh) || exit 0; \
	VK_DRIVER_FILES=$$manifest cargo test --locked --no-fail-fast $(ARGS)

validate: rust vulkan ## Tests under Vulkan's validation layer, where it can be had; a part with ARGS='--test ops_vs_f64'
	@scripts/validate.sh $(ARGS) || [ $$? = 2 ]

tint: ## Kernels that a run with ERGODIC_TEXTS=FOLDER left, through Chromium's compiler, where it can be had: make tint TEXTS=FOLDER
	@scripts/tint.sh $(or $(TEXTS),target/texts) || [ $$? = 2 ]

deny: rust ## Licences, sources and versions by cargo-deny, if it is installed; advisories need a network: ARGS=advisories
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --all-features check $(or $(ARGS),bans licenses sources); \
	else echo "cargo-deny is not installed (cargo install --locked cargo-deny); make test asks the same but for advisories"; fi

bench: rust vulkan ## Time the workloads against JAX on the same machine; ARGS='--scale small' for a smoke run
	scripts/bench.sh $(ARGS)

growth: rust vulkan ## Cost and memory against walkers, dimension, width and grid: a table and a picture in out/growth
	cargo bench --locked --bench growth -- $(ARGS)

tune: rust vulkan ## Find the fastest kernels for this adapter, into out/tuning.ron; then ERGODIC_TUNING=out/tuning.ron
	cargo bench --locked --bench workloads -- --tune out/tuning.ron --repeats 1 $(ARGS)

lint: rust ## Formatting, clippy with all features and with none, documentation; no warning passes
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

doc: rust ## Build the documentation and open it
	cargo doc --locked --no-deps --open

vulkan:
	@scripts/ensure-vulkan.sh

rust:
	@scripts/ensure-rust.sh
