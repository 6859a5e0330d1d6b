# The developer's loop. `just check` is what CI runs.

# Everything that must hold before a change lands.
check: fmt lint test proto

# Formatting.
fmt:
    cargo fmt --all --check

# Lints; a warning is an error.
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# All tests: scenario texts, simulator, real processes over TLS.
test:
    cargo test --workspace --locked

# The protocol's style, and its compatibility with the committed descriptors. Needs `buf` (pip install buf-bin).
proto:
    #!/usr/bin/env bash
    set -euo pipefail
    if ! command -v buf >/dev/null; then
        echo "SKIPPED: buf is not installed (pip install buf-bin); the protocol's style was not checked" >&2
        exit 0
    fi
    cd proto && buf lint && buf breaking --against descriptors.binpb

# Licences, advisories and duplicate versions. Needs `cargo install cargo-deny`.
deny:
    cargo deny check

# See it work: a fleet on this machine, faults, repairs.
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# Twenty demos in a row, each of which must end with every fault healed as it should.
demo-twenty:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --release
    for run in $(seq 20); do
        target/release/prunella demo --once --json 2>/dev/null | grep -q '"ok": *true' || { echo "run $run failed" >&2; exit 1; }
        echo "run $run ok"
    done

# The figures that the documents quote.
bench:
    cargo build --release
    target/release/prunella bench mttr --json
    target/release/prunella bench agent --json
    target/release/prunella simulate --hosts 1000 --hours 24 --seed 7 --json

# Real hosts with their own systemd and network, in namespaces: needs root, and systemd, dbus and iproute2 installed.
lab:
    PRUNELLA_LAB=1 cargo test --workspace --locked --test it -- lab:: --nocapture

# Switches off each brake and each do-no-harm rule, one at a time: the engine's tests must notice every one.
mutants-brakes:
    tests/mutants-brakes.sh
