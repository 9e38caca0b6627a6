#!/usr/bin/env bash
# Measures many watchers, a fast one and stalled ones beside the release build, and writes
# benches/results/watch-scale.json, in about two minutes; nothing else should run. It needs jq (apt-get install jq).
set -euo pipefail
cd "$(dirname "$0")/.."

. benches/example.sh

example watchers
"$example" paced 1000 100 30 | tee "$home/many" >&2
# More than the daemon writes on most machines: then it is as many as it does.
"$example" paced 1 5000 20 | tee "$home/fast" >&2
"$example" stalled 10 | tee "$home/stalled" >&2

jq -n "${facts[@]}" --argjson seconds "$SECONDS" \
  --slurpfile many "$home/many" --slurpfile fast "$home/fast" --slurpfile stalled "$home/stalled" '
  { $commit, command: "benches/watch.sh", $machine, load_at_the_start: $load, $seconds,
    thousand_watchers: $many[0], fast_writes: $fast[0], stalled: $stalled[0] }' > "$home/result"
cp "$home/result" benches/results/watch-scale.json
cat benches/results/watch-scale.json
