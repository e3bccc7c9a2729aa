#!/usr/bin/env bash
# Runs the suites of the Python, Node and Rust packages over a library built with AddressSanitizer (leaks included), to which the
# extension modules are built likewise. Tests that measure memory are left out. An error ends the program that makes it; a leak
# counts if something of Mullama allocated it: what the languages' runtimes leave at their end is theirs.
#   scripts/test_bindings_asan.sh [python|node|rust ...]     only these parts
# MULLAMA_TEST_MODEL names a real model; without one, tests that need it are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
. scripts/shell.sh

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(python node rust)
root=$PWD
# GCC builds both sides: a program holds one sanitizer's runtime, and the languages' packages take the default compiler.
build=$root/build-asan-bindings
work=$build/bindings
mkdir -p "$work"

section "Library"
install_missing "${build_packages[@]}" "${test_packages[@]}"
quietly cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=g++ -DMULLAMA_SANITIZE=address -DMULLAMA_BUILD_TESTS=ON
quietly cmake --build "$build" --target mullama_shared write_tiny_model scenario
quietly cmake --install "$build" --component mullama_library --prefix "$work/install"
export MULLAMA_DIR=$work/install MULLAMA_TEST_SANITIZED=1
export MULLAMA_TEST_TINY=$work/tiny.gguf MULLAMA_TEST_SCENARIO=$work/scenario.txt
"$build/bin/write_tiny_model" "$MULLAMA_TEST_TINY"
"$build/bin/scenario" cpp tests/scenario.json "$MULLAMA_TEST_TINY" >"$MULLAMA_TEST_SCENARIO"

export CXXFLAGS="-fsanitize=address -fno-omit-frame-pointer -g1" LDFLAGS=-fsanitize=address
rm -f "$work"/report.*
# Programs that are not built with the sanitizer load it first, and what throws exceptions with it.
watched=(
  env "LD_PRELOAD=$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)"
  "ASAN_OPTIONS=log_path=$work/report:stack_trace_format='    #%n %F %S (%m)'"
  LSAN_OPTIONS=exitcode=0
)

python_part() {
  section "Python"
  # Its Python is there before its packages are.
  if [ ! -f "$work/venv/complete" ]; then
    python3 -m venv "$work/venv"
    again quietly "$work/venv/bin/pip" install pytest
    touch "$work/venv/complete"
  fi
  again quietly "$work/venv/bin/pip" install -C build-dir="$work/python" ./bindings/python
  # Python's own allocator would hide what its objects point to.
  "${watched[@]}" PYTHONMALLOC=malloc "$work/venv/bin/python" -m pytest -q -p no:cacheprovider bindings/python/tests
}

node_part() {
  section "Node"
  # A copy elsewhere, so that the addon of the repository's folder stays what it is.
  local copy=$work/tree/bindings/node
  mkdir -p "$copy"
  ln -sfn "$root/tests" "$work/tree/tests"
  (cd bindings/node && cp -r .npmrc CMakeLists.txt package.json lib native scripts test "$copy")
  (cd "$copy" && again quietly npm install --no-audit --no-fund && "${watched[@]}" node --expose-gc --test test/*.test.mjs)
}

rust_part() {
  section "Rust"
  local runner
  runner=CARGO_TARGET_$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')_RUNNER
  # Rust's own part of the library is C's interface, which the compiler of Rust does not instrument.
  (cd bindings/rust && env "$runner=$work/watched" CARGO_TARGET_DIR="$work/rust" cargo test --quiet)
}

printf '#!/usr/bin/env bash\nexec %s "$@"\n' "$(printf '%q ' "${watched[@]}")" >"$work/watched"
chmod +x "$work/watched"
for part in "${parts[@]}"; do "${part}_part"; done
section "Reports"
python3 scripts/sanitizer_reports.py "$work"
