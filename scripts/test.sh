#!/usr/bin/env bash
# Sets up what is missing, builds Mullama and runs every test: each fuzzer for a minute, the unit tests with AddressSanitizer
# (leaks and undefined behaviour included), and everything in the release build.
#   scripts/test.sh [release|bindings|asan|tsan|fuzz ...]     only these parts; tsan, ThreadSanitizer on what runs threads, is
#                                                    not among those run by default
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(fuzz asan release bindings)
for part in "${parts[@]}"; do
  case $part in
    release | asan | tsan | fuzz | bindings) ;;
    *)
      sed -n '2,6s/^# \{0,1\}//p' scripts/test.sh >&2
      exit 4
      ;;
  esac
done
fuzz_seconds=${MULLAMA_FUZZ_SECONDS:-60}
jobs=$(nproc)
asan_tests=(gguf_test gguf_access_test memory_test quant_test sampling_grammar_test sampling_chain_test
  sampling_parameter_test text_tokenizer_test kv_pages_test scheduler_test engine_test)

section() { printf '\n== %s (%(%H:%M:%S)T)\n' "$1" -1; }
# Build output is shown only when something fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}
wanted() { [[ " ${parts[*]} " == *" $1 "* ]]; }

section "Packages"
install_missing "${build_packages[@]}" "${test_packages[@]}"

if wanted fuzz; then
  section "Fuzzers: build"
  quietly cmake --preset fuzz
  quietly cmake --build --preset fuzz --target fuzzers
  section "Fuzzers: $fuzz_seconds s each"
  scripts/fuzz.sh build-fuzz/bin "$fuzz_seconds"
fi
if wanted tsan; then
  section "ThreadSanitizer: build"
  quietly cmake --preset tsan
  quietly cmake --build --preset tsan --target thread_team_test engine_test kv_pages_test api_test
  section "ThreadSanitizer: tests"
  ctest --preset tsan -R '^(thread_team_test|engine_test|kv_pages_test|api_test)$'
fi
if wanted asan; then
  section "AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer: build"
  quietly cmake --preset asan
  quietly cmake --build --preset asan --target "${asan_tests[@]}"
  section "AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer: tests"
  ctest --preset asan -j "$jobs" -R "^($(IFS='|'; echo "${asan_tests[*]}"))\$"
fi
if wanted release; then
  section "Release: build"
  quietly cmake --preset release -DMULLAMA_BUILD_TESTS=ON
  quietly cmake --build --preset release
  section "Release: tests"
  # One at a time: some tests measure time.
  ctest --preset release
fi
if wanted bindings; then
  scripts/test_bindings.sh
fi
