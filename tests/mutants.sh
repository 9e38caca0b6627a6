#!/usr/bin/env bash
# Changes the code that decides and the code that seals and opens, one small change at a time, and
# fails when the tests of its crate pass all the same.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}"
# Its own, since what it builds is broken on purpose.
export CARGO_TARGET_DIR="$CACHE/tresor-target-mutants/$(rustc --version | cut -d' ' -f2)"
mutants="$(tests/setup/mutants.sh)"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT

try() { # try CRATE FILES TESTS..
  local crate=$1 files=$2
  shift 2
  echo "== cargo mutants -p $crate -f 'crates/$crate/src/$files' -- $*"
  "$mutants" mutants --test-tool cargo -p "$crate" -j1 --no-shuffle --colors never \
    -o "$out" -f "crates/$crate/src/$files" -- "$@"
}

try authz '{action,actor,decide,role,scope}.rs' --lib
try crypto '{record,hazmat,jwt,password,signing,keyring}.rs' --lib --test it
