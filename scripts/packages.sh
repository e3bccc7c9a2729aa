#!/usr/bin/env bash
# Installs Debian packages that are missing. Source it, then: install_missing PACKAGE...
set -euo pipefail

build_packages=(
  g++ cmake ninja-build ccache pkg-config
  libfmt-dev nlohmann-json3-dev libcli11-dev libexpected-dev libutf8proc-dev libxxhash-dev
  libcurl4-openssl-dev libssl-dev libedit-dev libcpp-httplib-dev
  ca-certificates python3 python3-pip
)
test_packages=(
  libgtest-dev libpcre2-dev libssl-dev clang-14 clang-format-14 libclang-rt-14-dev python3-jinja2 libsimde-dev
  qemu-user g++-aarch64-linux-gnu
  python3-venv python3-dev bindgen
)
# Node.js may come from elsewhere than Debian, whose npm then cannot be installed.
command -v npm >/dev/null || test_packages+=(nodejs npm)
# For bench/compare, which installs llama.cpp from npm beside them.
bench_packages=(git)
command -v npm >/dev/null || bench_packages+=(nodejs npm)

install_missing() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    return 0
  fi
  echo "Installing ${missing[*]}"
  local as_root=(env DEBIAN_FRONTEND=noninteractive)
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "Error: these Debian packages are missing: ${missing[*]}. Install them as root, then run this again." >&2
      return 1
    fi
    as_root=(sudo env DEBIAN_FRONTEND=noninteractive)
  fi
  # Package lists may be absent or stale; one update is enough.
  if ! "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
    if ! { "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 update -qq &&
      "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }; then
      echo "Error: cannot install ${missing[*]}. Check the network, then run this again." >&2
      return 1
    fi
  fi
}
