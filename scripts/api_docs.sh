#!/usr/bin/env bash
# Writes the API references below build/api-docs with each language's usual tool.
#   scripts/api_docs.sh [cpp|python|node|rust ...]     after scripts/test_bindings.sh, whose builds it uses
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(cpp python node rust)
work=$PWD/build/bindings
out=$PWD/build/api-docs
mkdir -p "$out"

cpp_part() {
  install_missing doxygen
  mkdir -p "$out/cpp"
  doxygen docs/Doxyfile
}
python_part() {
  "$work/venv/bin/pip" install -q pdoc
  "$work/venv/bin/python" -m pdoc -o "$out/python" mullama
}
node_part() {
  npm install --no-audit --no-fund --prefix "$work/typedoc" typedoc typescript@5 >/dev/null
  "$work/typedoc/node_modules/.bin/typedoc" --out "$out/node" --skipErrorChecking --readme docs/node.md bindings/node/lib/index.d.ts
}
rust_part() {
  (cd bindings/rust && CARGO_TARGET_DIR=$work/rust cargo doc --quiet --no-deps --package mullama)
  rm -rf "$out/rust"
  cp -r "$work/rust/doc" "$out/rust"
}
for part in "${parts[@]}"; do "${part}_part"; done
echo "$out"
