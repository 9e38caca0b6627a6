#!/usr/bin/env bash
# Puts the real clients of Digital Hub and of Apolo into ~/.cache/tresor-tests/clients/, each in a
# virtual environment of its own, and prints that directory. A later run is instant.
#
#   tests/setup/clients.sh          the oldest and the newest of each, which tests/run.sh drives
#   tests/setup/clients.sh --all    all versions that the project serves, which tests/long.sh drives
#
# What goes into an environment is in tests/setup/clients/NAME-VERSION.txt, to the last version, and
# nothing is resolved: what is uploaded tomorrow changes no run. Python 3.9 to 3.11 has all wheels.
set -euo pipefail

readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/tresor-tests"
readonly CLIENTS="$CACHE/clients"
LISTS="$(cd "$(dirname "$0")/clients" && pwd)"
readonly LISTS
readonly DEFAULT=(apolo-cli-26.9.0 digitalhub-0.5.0 digitalhub-0.15.11 neuromation-20.12.7)

# Whether an environment was made to its end, from the list as it is now.
complete() { cmp -s "$LISTS/$1.txt" "$CLIENTS/$1/complete.txt"; }

make() {
  local home="$CLIENTS/$1"
  # Made in its own place, since a virtual environment cannot be moved; half of one is made anew.
  rm -rf "$home"
  "$PYTHON" -m venv "$home" >&2
  "$home/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --requirement "$LISTS/$1.txt" >&2
  cp "$LISTS/$1.txt" "$home/complete.txt"
}

case "${1:-}" in
  "") wanted=("${DEFAULT[@]}") ;;
  --all) mapfile -t wanted < <(cd "$LISTS" && printf '%s\n' *.txt | sed 's/\.txt$//') ;;
  *) echo "usage: $0 [--all]" >&2; exit 2 ;;
esac

mkdir -p "$CLIENTS"
missing=()
for client in "${wanted[@]}"; do complete "$client" || missing+=("$client"); done
if [ ${#missing[@]} -gt 0 ]; then
  exec 9>"$CACHE/clients.lock"
  flock 9
  # Where several are installed, the one that Debian 12 has.
  PYTHON=python3.11
  "$PYTHON" -c '' 2>/dev/null || PYTHON=python3
  if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
    as_root apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >&2
  fi
  export -f complete make
  export CLIENTS LISTS PYTHON
  printf '%s\n' "${missing[@]}" |
    xargs -P 2 -I NAME bash -euo pipefail -c 'complete NAME || make NAME'
fi
printf '%s\n' "$CLIENTS"
