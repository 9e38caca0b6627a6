#!/usr/bin/env bash
# Puts pyca's cryptography, with which tests/crypto/open_store.py opens a store, into
# ~/.cache/tresor-tests/ and prints the path of the Python that has it. A later run is instant.
set -euo pipefail

readonly CRYPTOGRAPHY=50.0.2
readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/tresor-tests"
readonly HOME_OF_IT="$CACHE/cryptography-$CRYPTOGRAPHY"

if [ ! -e "$HOME_OF_IT/complete" ]; then
  mkdir -p "$CACHE"
  exec 9>"$CACHE/cryptography.lock"
  flock 9
fi
if [ ! -e "$HOME_OF_IT/complete" ]; then
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
    as_root apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >&2
  fi
  # Made in its own place, since a virtual environment cannot be moved; half of one is made anew.
  rm -rf "$HOME_OF_IT"
  python3 -m venv "$HOME_OF_IT"
  "$HOME_OF_IT/bin/pip" install --quiet --disable-pip-version-check "cryptography==$CRYPTOGRAPHY" >&2
  touch "$HOME_OF_IT/complete"
fi
printf '%s\n' "$HOME_OF_IT/bin/python"
