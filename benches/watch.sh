#!/usr/bin/env bash
# Measures many watchers, a fast one and stalled ones beside the release build, and writes
# benches/results/watch-scale.json, in about two minutes; nothing else should run. It needs jq (apt-get install jq).
set -euo pipefail
cd "$(dirname "$0")/.."

readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CACHE/tresor-target/$(rustc --version | cut -d' ' -f2)}"
cargo build --release --locked --quiet
cargo build --release --locked --quiet -p benches --example watchers
load=$(cut -d' ' -f1 /proc/loadavg)
watchers="$CARGO_TARGET_DIR/release/examples/watchers"
home="$(mktemp -d)"
trap 'rm -rf "$home"' EXIT

SECONDS=0
"$watchers" paced 1000 100 30 | tee "$home/many" >&2
# More than the daemon writes on most machines: then it is as many as it does.
"$watchers" paced 1 5000 20 | tee "$home/fast" >&2
"$watchers" stalled 10 | tee "$home/stalled" >&2

jq -n --arg commit "$(git rev-parse HEAD)" --argjson load "$load" --argjson seconds "$SECONDS" \
  --arg machine "$(nproc) cores, $(sed -n 's/^model name\t*: //p' /proc/cpuinfo | head -n 1)" \
  --slurpfile many "$home/many" --slurpfile fast "$home/fast" --slurpfile stalled "$home/stalled" '
  { $commit, command: "benches/watch.sh", $machine, load_at_the_start: $load, $seconds,
    thousand_watchers: $many[0], fast_writes: $fast[0], stalled: $stalled[0] }' > "$home/result"
cp "$home/result" benches/results/watch-scale.json
cat benches/results/watch-scale.json
