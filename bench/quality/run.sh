#!/usr/bin/env bash
# Compares Mullama's numbers with f32 logits and with llama.cpp's; sets up under build/quality what is missing.
#   bench/quality/run.sh logits|quantizers [MODEL ...] [OPTIONS]     --help shows each one's options
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/build/quality
binary=${MULLAMA_BINARY:-$root/build/bin/mullama}
comparison=${1:-}
if [ ! -f "$here/$comparison.py" ] || { [ "$comparison" != logits ] && [ "$comparison" != quantizers ]; }; then
  sed -n '2,3s/^# //p' "$0" >&2
  exit 4
fi
shift
[ -x "$binary" ] || { echo "Error: $binary is not built. Try: scripts/quickstart.sh" >&2; exit 1; }

mkdir -p "$work"
if [ ! -x "$work/venv/bin/python" ]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install -q numpy gguf
fi
libraries=$work/package/bins/linux-x64
if [ ! -d "$libraries" ]; then
  command -v npm >/dev/null || { echo "Error: npm is missing. Try: apt-get install npm" >&2; exit 1; }
  (cd "$work" && tar xzf "$(npm pack --silent @node-llama-cpp/linux-x64)")
fi
exec "$work/venv/bin/python" "$here/$comparison.py" --mullama "$binary" --libraries "$libraries" "$@"
