#!/usr/bin/env bash
# Sets up what is missing, builds Mullama, gets a small real model and answers a prompt with it.
#   scripts/quickstart.sh ["PROMPT"]      its parts: scripts/packages.sh, cmake --preset release, mullama pull, mullama run
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

case ${1:-} in
  -h | --help)
    sed -n '2,3s/^# //p' scripts/quickstart.sh
    exit 0
    ;;
esac
prompt=${*:-"Why is the sky blue? Answer in two sentences."}
log=build/quickstart.log
mkdir -p build

install_missing "${build_packages[@]}" >&2
if [ ! -f build/build.ninja ]; then
  echo "Configuring" >&2
  cmake --preset release -DMULLAMA_BUILD_TESTS=OFF >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
fi
# Ninja's lines go into the log; how far it is, onto a terminal.
build() {
  local status=0
  ninja -C build mullama | tee "$log" | while IFS= read -r line; do
    if [ -t 2 ] && [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]]; then
      printf '\r  %s of %s files ' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" >&2
    fi
  done || status=$?
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
  return "$status"
}
if ! ninja -C build -n mullama | grep -q 'no work to do'; then
  echo "Building (a few minutes the first time; log: $log)" >&2
  build || { tail -n 40 "$log" >&2; exit 1; }
fi
model=smollm2:135m
build/bin/mullama show "$model" >/dev/null 2>&1 || build/bin/mullama pull "$model"
exec build/bin/mullama run "$model" -- "$prompt"
