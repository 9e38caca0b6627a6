#!/usr/bin/env bash
# Puts schemathesis, which plays an OpenAPI document against the daemon that serves it, into
# ~/.cache/tresor-tests/ and prints its path. A later run is instant.
set -euo pipefail

readonly SCHEMATHESIS=4.32.5
readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/tresor-tests"
readonly HOME_OF_IT="$CACHE/schemathesis-$SCHEMATHESIS"

if [ ! -x "$HOME_OF_IT/bin/schemathesis" ]; then
  mkdir -p "$CACHE"
  exec 9>"$CACHE/schemathesis.lock"
  flock 9
fi
if [ ! -x "$HOME_OF_IT/bin/schemathesis" ]; then
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
    as_root apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >&2
  fi
  # Made in its own place, since a virtual environment cannot be moved; half of one is made anew.
  rm -rf "$HOME_OF_IT"
  python3 -m venv "$HOME_OF_IT"
  "$HOME_OF_IT/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$SCHEMATHESIS" >&2
fi
printf '%s\n' "$HOME_OF_IT/bin/schemathesis"
