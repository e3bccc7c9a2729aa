#!/usr/bin/env bash
# Runs every fuzzer in a folder for some seconds, as many at once as there are processors. What they found interesting and what they
# fell over stays in FOLDER if one is given; the next run there goes on from it.
#   scripts/fuzz.sh BIN_FOLDER SECONDS [FOLDER]
set -euo pipefail
bin=$(realpath "$1")
seconds=$2
if [ $# -gt 2 ]; then
  work=$(realpath -m "$3")
else
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi
"$(dirname "$0")/../fuzz/write_seeds.py" "$work/seeds"

fuzz_one() {
  local name
  name=$(basename "$1")
  mkdir -p "$3/$name" "$3/artifacts/$name"
  if "$1" -max_total_time="$2" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$3/artifacts/$name/" \
    "$3/$name" "$3/seeds/$name" >"$3/$name.log" 2>&1; then
    echo "$name: no finding in $(sed -n 's/^stat::number_of_executed_units: *//p' "$3/$name.log") runs"
  else
    echo "$name: FAILED"
    tail -n 40 "$3/$name.log"
    # The input that did it, to be kept as a regression test.
    find "$3/artifacts/$name" -type f | while read -r file; do echo "$file"; base64 "$file" | head -c 4000; echo; done
    return 1
  fi
}
export -f fuzz_one
find "$bin" -name 'fuzz_*' -type f -executable | sort | xargs -P "$(nproc)" -I{} bash -c 'fuzz_one "$@"' _ {} "$seconds" "$work"
