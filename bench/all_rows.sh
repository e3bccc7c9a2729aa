#!/usr/bin/env bash
# Measures every row of docs/performance.md, each in a few minutes, and writes what was seen to a folder:
#   bench/all_rows.sh [--out build/bench/results] [ROW...]       rows: files avx2 real depth together threads start lookup
# The machine should have nothing else to do. A row that fails is named, and the rest still runs.
set -uo pipefail
cd "$(dirname "$0")/.."
out=build/bench/results
if [ "${1:-}" = "--out" ]; then out=$2; shift 2; fi
rows=("$@")
[ ${#rows[@]} -gt 0 ] || rows=(files avx2 real depth together threads start lookup)
mkdir -p "$out" build/bench/models
mullama=build/bin/mullama
shape=llama-3.2-1b
model=build/bench/models/$shape-Q4_K_M.gguf
[ -f "$model" ] || build/bin/make_model --shape $shape --type Q4_K_M --out "$model" || exit 1
compare=(bench/compare/compare.py --threads 2 --append "$out/compared.jsonl")

measure() {
  case $1 in
    files) "${compare[@]}" $shape:Q4_K_M $shape:Q4_0 $shape:Q5_K_M $shape:Q6_K $shape:Q8_0 $shape:BF16 llama-2-7b:Q4_K_M:8 ;;
    avx2) "${compare[@]}" $shape:Q4_K_M --isa avx2 --peer-isa haswell ;;
    real) "${compare[@]}" smollm2:135m gemma3:270m ;;
    depth) "${compare[@]}" $shape:Q4_K_M --prompt 0 --generate 24 --depth 8192 --kv-cache-type f16,q8_0 &&
      $mullama bench "$model" --threads 2 --prompt 512,8192 --generate 0 --json >"$out/prefill-by-length.json" ;;
    together) $mullama bench "$model" --threads 2 --prompt 0 --generate 24 --sequences 1,2,4,8 --json >"$out/together.json" ;;
    threads) $mullama bench "$model" --threads 1,2 --generate 0 --json >"$out/threads.json" &&
      "${compare[@]}" $shape:Q4_K_M --prompt 0 --load 1 ;;
    start) bench/start.py "$model" --json >"$out/start.json" ;;
    lookup) bench/lookup.py gemma3:270m --json >"$out/lookup.json" ;;
    *) echo "all_rows: there is no row '$1'" >&2; return 1 ;;
  esac
}

failed=()
for row in "${rows[@]}"; do
  measure "$row" || failed+=("$row")
done
if [ -f "$out/compared.jsonl" ]; then bench/report.py "$out/compared.jsonl" >"$out/tables.md"; fi
if [ ${#failed[@]} -gt 0 ]; then
  echo "all_rows: not measured: ${failed[*]}" >&2
  exit 1
fi
echo "all_rows: see $out"
