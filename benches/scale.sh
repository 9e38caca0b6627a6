#!/usr/bin/env bash
# Measures what a store of the release build costs as it grows to a million secrets, and writes
# benches/results/scale.json and scale.svg.
#
#   benches/scale.sh           measures, in about ten minutes; nothing else should run
#   benches/scale.sh --plot    draws what was measured last
#
# It needs jq and python3 (apt-get install jq python3), and 5 GB of disk.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly RESULT=benches/results/scale.json
case "${1:-}" in
  "") ;;
  --plot) exec python3 benches/scale_plot.py "$RESULT" "${RESULT%.json}.svg" ;;
  *) echo "usage: $0 [--plot]" >&2; exit 2 ;;
esac

. benches/example.sh
example scale
"$example" 200 1000 10000 30000 100000 300000 1000000 | tee "$home/of_200" >&2
"$example" 1024 100000 | tee "$home/of_1024" >&2

jq -s "${facts[@]}" --argjson seconds "$SECONDS" '
  def at($bytes; $secrets): first(.[] | select(.value_bytes == $bytes and .secrets == $secrets));
  def row($what; $figure; $wanted): { what: $what, figure: $figure, at_most: $wanted, met: ($figure <= $wanted) };
  def fell($what): (1 - at(200; 1000000)[$what].median_per_s / at(200; 10000)[$what].median_per_s) * 1000 | round / 10;
  at(1024; 100000) as $kib | at(200; 1000000) as $million
  | { $commit, command: "benches/scale.sh", $machine, load_at_the_start: $load, $seconds, sizes: .,
      targets: [
        row("KiB of memory with 100,000 secrets of 1 KiB, the most of what was seen";
          [$kib.after_creates, $kib.after_updates, $kib.after_start | .rss_kib] | max; 200 * 1024),
        row("ms from start to the first read with 100,000 secrets of 1 KiB, after a clean stop";
          $kib.clean_stop.median_start_to_first_read_ms; 300),
        row("ms after a kill"; $kib.kill.median_start_to_first_read_ms; 1500),
        row("ms for a page of 100 of 1,000,000 secrets, the slowest median of the first, middle and last";
          [$million.page_of_100 | .first, .middle, .last | .p50_ms] | max; 1),
        row("percent by which creates a second fall from 10,000 to 1,000,000 secrets"; fell("creates"); 20),
        row("percent by which updates a second fall"; fell("updates"); 20),
        row("the same with `cache-mib` \($million.large_cache.cache_mib) at 1,000,000";
          (1 - $million.large_cache.updates.median_per_s / at(200; 10000).updates.median_per_s) * 1000 | round / 10; 20) ] }' \
  "$home/of_200" "$home/of_1024" > "$home/result"
cp "$home/result" "$RESULT"
"$0" --plot
jq -r '.targets[] | [.figure, .at_most, (if .met then "met" else "missed" end), .what] | @tsv' "$RESULT"
