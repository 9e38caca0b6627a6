#!/usr/bin/env bash
# Installs cargo-mutants into ~/.cache/tresor-tests/ and prints the path of its binary.
set -euo pipefail

readonly VERSION=27.1.0
readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/tresor-tests"
readonly ROOT="$CACHE/cargo-mutants-$VERSION"

if [ ! -x "$ROOT/bin/cargo-mutants" ]; then
  CARGO_TARGET_DIR="$CACHE/cargo-mutants-build" \
    cargo install --quiet --locked --root "$ROOT" "cargo-mutants@$VERSION" >&2
  rm -rf "$CACHE/cargo-mutants-build"
fi
printf '%s\n' "$ROOT/bin/cargo-mutants"
