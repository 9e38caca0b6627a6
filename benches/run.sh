#!/usr/bin/env bash
# Measures the release build on this machine: run.sh [NAME..] runs crypto, commit, request and watch, or
# those named, and writes benches/results/NAME.json. It needs jq.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CACHE/tresor-target/$(rustc --version | cut -d' ' -f2)}"
[ $# -gt 0 ] || set -- crypto commit request watch
for name in "$@"; do
  case $name in request | watch) cargo build --release --locked --quiet -p tresor ;; esac
  CRITERION_HOME="$CARGO_TARGET_DIR/criterion/$name"
  export CRITERION_HOME
  rm -rf "$CRITERION_HOME"
  cargo bench --locked --quiet -p benches --bench "$name"
  # `bare` is what the others of its group are compared with, at the same size where there are sizes.
  find "$CRITERION_HOME" -path '*/new/benchmark.json' | sort | while read -r benchmark; do
    jq -n --slurpfile b "$benchmark" --slurpfile e "${benchmark%/*}/estimates.json" '
      $b[0] as $b | $e[0].median as $m | (($b.throughput // {}) | to_entries[0]) as $t |
      { group: $b.group_id, what: $b.function_id, at: $b.value_str, median_ns: $m.point_estimate,
        median_ns_95_percent: [$m.confidence_interval.lower_bound, $m.confidence_interval.upper_bound] }
      + if $t then { (($t.key | ascii_downcase) + "_per_s"): ($t.value / $m.point_estimate * 1e9 | round) } else {} end'
  done | jq -s \
    --arg commit "$(git rev-parse HEAD)" --arg command "benches/run.sh $name" \
    --arg machine "$(nproc) cores, $(sed -n 's/^model name\t*: //p' /proc/cpuinfo | head -n 1)" \
    --arg load "$(cut -d' ' -f1 /proc/loadavg)" '
    def bare($all): . as $x | first($all[] | select(.what == "bare" and .group == $x.group
      and (.at == $x.at or .at == null)));
    . as $all | { commit: $commit, command: $command, machine: $machine, load_at_the_end: ($load | tonumber),
      benches: map(. as $x | [bare($all)] as $bare
        | . + if ($bare | length) > 0 and .what != "bare"
              then { times_bare: (.median_ns / $bare[0].median_ns * 100 | round / 100) } else {} end
        | .median_ns |= round | .median_ns_95_percent |= map(round)) }' > "benches/results/$name.json"
  jq -r '.benches[] | [.group, .what, .at // "", .median_ns, .times_bare // ""] | @tsv' \
    "benches/results/$name.json" | column -t
done
