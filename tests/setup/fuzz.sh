#!/usr/bin/env bash
# Gets cargo-fuzz and the C++ compiler that libFuzzer needs, once, and prints where cargo-fuzz is.
set -euo pipefail

readonly CARGO_FUZZ=0.13.2
readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}"
readonly HOME_OF_IT="$CACHE/tresor-tests/cargo-fuzz-$CARGO_FUZZ"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
if ! command -v c++ >/dev/null; then
  as_root apt-get update -qq >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ >&2
fi
if [ ! -x "$HOME_OF_IT/bin/cargo-fuzz" ]; then
  CARGO_TARGET_DIR="$CACHE/tresor-tests/cargo-fuzz-build" \
    cargo install --quiet --locked --root "$HOME_OF_IT" "cargo-fuzz@$CARGO_FUZZ" >&2
  rm -rf "$CACHE/tresor-tests/cargo-fuzz-build"
fi
echo "$HOME_OF_IT/bin/cargo-fuzz"
