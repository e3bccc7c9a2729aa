# What the scripts share. Source it.

section() { printf '\n== %s (%(%H:%M:%S)T)\n' "$1" -1; }

# Output is shown only when something fails.
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

# What reaches the network may fail for a moment: three tries, 10 and 20 seconds apart.
again() {
  local pause
  for pause in 10 20; do
    if "$@"; then return 0; fi
    echo "Trying again in $pause seconds: $*" >&2
    sleep "$pause"
  done
  "$@"
}
