# One surface for people and CI: each recipe calls what `.ci/run` calls.

# Everything that CI runs.
ci:
    .ci/run

# Fast feedback.
check:
    cargo fmt --all --check
    cargo clippy --all-targets -- -D warnings

# The README's test command.
test:
    cargo test

# Laws of the ports, against every adapter that can run here.
contract:
    cargo test --test contract

# Inner circles name no outer ones; the core stays small.
arch:
    cargo test --test architecture
    scripts/core-dependencies

# Kubernetes' conformance suite: `just sanity dynamic` or `just sanity static`.
sanity kind="dynamic":
    scripts/sanity {{kind}}

# Licences, bans, sources.
deny:
    cargo deny check bans licenses sources

# Documentation without warnings.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Calls over the socket, beside an empty handler.
bench:
    cargo bench --bench rpc

# Requests to ARM for 1 to 1,000 claims at once, on simulated time.
bench-arm:
    cargo bench --bench arm

# Size, memory and start-up of the release binary.
figures:
    scripts/figures
