#!/usr/bin/env bash
# Formatting, lints and documents. Writes nothing but build artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
# The embedded binary is built without the drivers of the real services.
cargo clippy -p shardline-embedded --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
cargo test --locked --quiet -p shardline-tidy
if command -v cargo-deny >/dev/null; then
    cargo deny --locked check
else
    echo "verify: cargo-deny is not installed, licences and advisories are not checked (cargo install cargo-deny)" >&2
fi
