#!/usr/bin/env bash
# Builds the Python, Node and Rust packages as their users do, each from the sources around it, and runs their suites.
#   scripts/test_bindings.sh [python|node|rust ...]     only these parts
# A part whose tools are not installed at all is left out, with a word; tools that are there but too old are an error.
# MULLAMA_BUILD names the folder whose build of C++ to use (build by default), MULLAMA_TEST_MODEL a real model (else smollm2:135m is
# pulled).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
. scripts/shell.sh

root=$PWD
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(python node rust)
build=$(realpath -m "${MULLAMA_BUILD:-build}")
work=$build/bindings
# The parts build the library themselves.
unset MULLAMA_DIR

wanted() { [[ " ${parts[*]} " == *" $1 "* ]]; }
# at_least HAVE NEED: whether a version is not below another.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }
too_old() {
  echo "$1 is needed, but $2 is installed: install a newer one, or leave this part out: scripts/test_bindings.sh PART..." >&2
  exit 1
}

section "What the suites lean on"
if [ ! -f "$build/CMakeCache.txt" ]; then
  install_missing "${build_packages[@]}" "${test_packages[@]}"
  quietly cmake --preset release -B "$build" -DMULLAMA_BUILD_TESTS=ON
fi
targets=(write_tiny_model scenario)
[ -n "${MULLAMA_TEST_MODEL:-}" ] || targets+=(mullama)
quietly cmake --build "$build" --target "${targets[@]}"
mkdir -p "$work"
export MULLAMA_TEST_TINY=$work/tiny.gguf MULLAMA_TEST_SCENARIO=$work/scenario.txt
"$build/bin/write_tiny_model" "$MULLAMA_TEST_TINY"
"$build/bin/scenario" cpp tests/scenario.json "$MULLAMA_TEST_TINY" >"$MULLAMA_TEST_SCENARIO"

if [ -z "${MULLAMA_TEST_MODEL:-}" ]; then
  export MULLAMA_MODELS_DIR=${MULLAMA_MODELS_DIR:-$build/models}
  if ! "$build/bin/mullama" show smollm2:135m >/dev/null 2>&1 && [ -z "${MULLAMA_TEST_OFFLINE:-}" ]; then
    again "$build/bin/mullama" pull smollm2:135m >/dev/null || echo "smollm2:135m could not be had: tests that need it are skipped"
  fi
  MULLAMA_TEST_MODEL=$(python3 scripts/model_file.py "$MULLAMA_MODELS_DIR" smollm2 135m)
  export MULLAMA_TEST_MODEL
fi

python_part() {
  section "Python: build"
  # Its Python is there before its packages are.
  if [ ! -f "$work/venv/complete" ]; then
    install_missing python3 python3-venv python3-dev
    python3 -m venv "$work/venv"
    again quietly "$work/venv/bin/pip" install numpy pytest mypy
    touch "$work/venv/complete"
  fi
  # What pip install ./bindings/python does, with a look at the wheel on the way.
  rm -rf "$work/wheel"
  again quietly "$work/venv/bin/pip" wheel --no-deps -w "$work/wheel" ./bindings/python
  python3 scripts/check_package.py "$work"/wheel/*.whl
  quietly "$work/venv/bin/pip" install --force-reinstall --no-deps "$work"/wheel/*.whl
  section "Python: tests"
  "$work/venv/bin/python" -m pytest -q -p no:cacheprovider bindings/python/tests
}

node_part() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo "node or npm is not installed: its tests are left out (Debian: nodejs npm)"
    return
  fi
  at_least "$(node --version | tr -d v)" 18.0.0 || too_old "Node 18" "$(node --version)"
  section "Node: build"
  mkdir -p "$work/node"
  (cd "$work/node" && quietly npm init -y && again quietly npm install --no-audit --no-fund "$root/bindings/node")
  section "Node: tests"
  (cd bindings/node && npm test)
  section "Node: types"
  if [ ! -d "$work/typescript/node_modules/typescript" ]; then
    again quietly npm install --no-audit --no-fund --prefix "$work/typescript" typescript@5 @types/node@20
  fi
  "$work/typescript/node_modules/.bin/tsc" --noEmit --strict --target es2022 --module nodenext --moduleResolution nodenext \
    --typeRoots "$work/typescript/node_modules/@types" bindings/node/test/types.ts
  section "Node: package"
  (cd bindings/node && quietly npm pack --pack-destination "$work")
  python3 scripts/check_package.py "$work"/mullama-*.tgz
}

rust_part() {
  if ! command -v cargo >/dev/null; then
    echo "cargo is not installed: its tests are left out (Debian: cargo rustc)"
    return
  fi
  at_least "$(rustc --version | cut -d' ' -f2)" 1.71.0 || too_old "Rust 1.71" "$(rustc --version)"
  section "Rust: build and tests"
  export CARGO_TARGET_DIR=$work/rust
  (cd bindings/rust && again quietly cargo fetch && cargo test --quiet)
  # The bindings in the repository are what bindgen makes of the header.
  if command -v bindgen >/dev/null; then
    bindings/rust/mullama-sys/generate.sh "$work/bindings.rs"
    cmp "$work/bindings.rs" bindings/rust/mullama-sys/src/bindings.rs
  else
    echo "bindgen is not installed: the Rust bindings were not compared with the header (Debian: bindgen)"
  fi
  section "Rust: package"
  (cd bindings/rust && cargo package --quiet --no-verify --allow-dirty --package mullama-sys)
  python3 "$root/scripts/check_package.py" "$work"/rust/package/mullama-sys-*.crate
}

for part in python node rust; do
  if wanted "$part"; then "${part}_part"; fi
done
section "Done"
