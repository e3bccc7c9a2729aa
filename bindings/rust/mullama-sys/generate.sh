#!/usr/bin/env bash
# Writes src/bindings.rs anew from the C header, with Debian's bindgen:  generate.sh [OUTPUT]
set -euo pipefail
cd "$(dirname "$0")"
header=../../../include/mullama/mullama.h
bindgen "$header" --output "${1:-src/bindings.rs}" --rust-target 1.47 --default-enum-style consts --size_t-is-usize --no-prepend-enum-name \
  --allowlist-function 'mullama_.*' --allowlist-type 'mullama_.*' --allowlist-var 'MULLAMA_.*' --no-layout-tests --disable-header-comment
