#!/usr/bin/env bash
# bench/bindings/run.sh MODEL     after scripts/test_bindings.sh, whose builds it uses
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/build/bindings
cmake --build build --target bindings_cost >/dev/null
(cd bindings/rust && MULLAMA_DIR=$work/install CARGO_TARGET_DIR=$work/rust cargo build --quiet --release --example cost)
for _ in 1 2 3; do
  build/bin/bindings_cost "$1"
  "$work/venv/bin/python" bench/bindings/cost.py "$1"
  node bench/bindings/cost.mjs "$1"
  "$work/rust/release/examples/cost" "$1"
done
