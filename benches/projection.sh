#!/usr/bin/env bash
# Measures how long an acknowledged write takes into a real kube-apiserver, with 10,000 secrets there and 20
# writes a second, beside the release build, and writes benches/results/projection.json, in about three
# minutes; nothing else should run.
set -euo pipefail
cd "$(dirname "$0")/.."
. benches/example.sh

KUBEBUILDER_ASSETS="$(tests/setup/kubernetes.sh)"
export KUBEBUILDER_ASSETS
example projected
"$example" 10000 20 60 > "$home/figures"
jq -n "${facts[@]}" --argjson seconds "$SECONDS" --slurpfile figures "$home/figures" '
  { $commit, command: "benches/projection.sh", $machine, load_at_the_start: $load, $seconds } + $figures[0]' > "$home/result"
cp "$home/result" benches/results/projection.json
cat benches/results/projection.json
