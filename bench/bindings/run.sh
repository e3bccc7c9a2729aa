#!/usr/bin/env bash
# bench/bindings/run.sh MODEL [ROUNDS]     after scripts/test_bindings.sh, whose builds it uses; prints each figure, then medians
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/build/bindings
cmake --build build --target bindings_cost >/dev/null
(cd bindings/rust && CARGO_TARGET_DIR=$work/rust cargo build --quiet --release --example cost)
for ((round = 0; round < ${2:-5}; ++round)); do
  build/bin/bindings_cost "$1"
  "$work/venv/bin/python" bench/bindings/cost.py "$1"
  node bench/bindings/cost.mjs "$1"
  "$work/rust/release/examples/cost" "$1"
done | tee /dev/stderr | python3 bench/bindings/medians.py
