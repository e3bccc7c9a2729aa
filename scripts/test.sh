#!/usr/bin/env bash
# Sets up what is missing, builds Mullama and runs every test: the unit tests with AddressSanitizer (leaks and undefined
# behaviour included), each fuzzer for a minute, and everything in the release build.
#   scripts/test.sh [asan|fuzz|release|bindings|tsan ...]     only these parts; tsan, ThreadSanitizer on what runs threads, is
#                                                    not among those run by default
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
. scripts/shell.sh

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(asan fuzz release bindings)
for part in "${parts[@]}"; do
  case $part in
    release | asan | tsan | fuzz | bindings) ;;
    *)
      sed -n '2,5s/^# \{0,1\}//p' scripts/test.sh >&2
      exit 4
      ;;
  esac
done
fuzz_seconds=${MULLAMA_FUZZ_SECONDS:-60}
jobs=$(nproc)
# Every program that tests the library, but those that measure time or memory and the command line's own.
asan_tests=(gguf_test gguf_access_test memory_test quant_test kernels_test sampling_grammar_test sampling_chain_test
  sampling_parameter_test text_tokenizer_test jinja_test text_chat_test model_definition_test model_families_test store_test
  thread_team_test kv_pages_test scheduler_test lookup_test plan_test plan_rows_test plan_sweep_test answer_format_test
  engine_test pressure_test survival_test heap_failure_test api_test server_test server_formats_test server_memory_failure_test)
# What runs threads.
tsan_tests=(thread_team_test kv_pages_test engine_test server_test api_test)

# A pattern for ctest that means these tests and no others.
exactly() { printf '^(%s)$' "$(IFS='|' && echo "$*")"; }
wanted() { [[ " ${parts[*]} " == *" $1 "* ]]; }

section "Packages"
install_missing "${build_packages[@]}" "${test_packages[@]}"

# Fuzzers and tests share one build: the same sanitizers, the same objects.
sanitized=()
if wanted asan; then sanitized+=("${asan_tests[@]}"); fi
if wanted fuzz; then sanitized+=(fuzzers); fi
if [ ${#sanitized[@]} -gt 0 ]; then
  section "AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer: build"
  quietly cmake --preset asan
  quietly cmake --build --preset asan --target "${sanitized[@]}"
fi
if wanted asan; then
  section "AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer: tests"
  ctest --preset asan -j "$jobs" -R "$(exactly "${asan_tests[@]}")"
fi
if wanted fuzz; then
  section "Fuzzers: $fuzz_seconds s each"
  scripts/fuzz.sh build-asan/bin "$fuzz_seconds"
fi
if wanted tsan; then
  section "ThreadSanitizer: build"
  quietly cmake --preset tsan
  quietly cmake --build --preset tsan --target "${tsan_tests[@]}"
  section "ThreadSanitizer: tests"
  ctest --preset tsan -R "$(exactly "${tsan_tests[@]}")"
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
