#!/usr/bin/env bash
# Puts a package of PyPI's, with what it needs, into a virtual environment below ~/.cache/tresor-tests/ and
# prints that environment's path. A later run is instant.
#
#   tests/setup/python_package.sh NAME VERSION
set -euo pipefail

readonly NAME="$1" VERSION="$2"
readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/tresor-tests"
readonly HOME_OF_IT="$CACHE/$NAME-$VERSION"

if [ ! -e "$HOME_OF_IT/complete" ]; then
  mkdir -p "$CACHE"
  exec 9>"$CACHE/$NAME.lock"
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
  "$HOME_OF_IT/bin/pip" install --quiet --disable-pip-version-check "$NAME==$VERSION" >&2
  touch "$HOME_OF_IT/complete"
fi
printf '%s\n' "$HOME_OF_IT"
