#!/usr/bin/env bash
# Fuzzes: run.sh SECONDS [TARGET..] runs each target for so long, as many at once as there are cores,
# beginning with the seeds in corpus/ and with what earlier runs found. Says how often each target
# ran, and fails on any finding; the input is then below artifacts/.
set -euo pipefail
cd "$(dirname "$0")"

seconds="${1:?how many seconds each target runs}"
shift
readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}"
version="$(rustc --version | cut -d' ' -f2)"
readonly TARGET_DIR="$CACHE/tresor-target-fuzz/$version"
cargo_fuzz="$(../tests/setup/fuzz.sh)"
export RUSTC_BOOTSTRAP=1 # The sanitizer's flag is unstable; nothing else of it is used.

[ $# -gt 0 ] || set -- $("$cargo_fuzz" list --fuzz-dir .)
# The default profile: optimized, with debug assertions and overflow checks.
for target in "$@"; do "$cargo_fuzz" build --fuzz-dir . --target-dir "$TARGET_DIR" "$target"; done
bin="$TARGET_DIR/$(rustc -vV | sed -n 's/^host: //p')/release"

run_one() {
  local target=$1 found="$TARGET_DIR/corpus/$1" log="$TARGET_DIR/$1.log" status=0
  mkdir -p "$found" "artifacts/$target"
  "$bin/$target" -max_total_time="$seconds" -timeout=10 -print_final_stats=1 \
    -artifact_prefix="artifacts/$target/" "$found" "corpus/$target" >"$log" 2>&1 || status=$?
  if [ $status -ne 0 ]; then
    printf '%-16s FAILED\n' "$target"
    grep -v -e '^#' -e '^INFO' "$log" | tail -n 40
    return 1
  fi
  printf '%-16s %12s runs  %6s inputs that reach something new\n' "$target" \
    "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$(find "$found" -type f | wc -l)"
}
export -f run_one
export bin seconds TARGET_DIR

printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c 'set -euo pipefail; run_one {}'
echo "no finding in $# targets, $seconds s each"
