#!/usr/bin/env bash
# Runs the long forms of the tests: every syscall of a start as a crash point, fifty kills under
# load, hundreds of histories of writers and watchers, thousands of power cuts, hundreds of failing calls, hundreds of requests to each documented operation, every version of the real clients, a minute of
# every fuzz target and ten of those of the encryption core, mutants of the code that decides, seals and opens. Its output is kept in benches/results/, with the commit and the machine that it came from.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CACHE/tresor-target/$(rustc --version | cut -d' ' -f2)}"
KUBEBUILDER_ASSETS="$(tests/setup/kubernetes.sh)"
tests/setup/clients.sh --all >/dev/null
export KUBEBUILDER_ASSETS TRESOR_TESTS_COMPLETE=1 TRESOR_TESTS_LONG=1

mkdir -p benches/results
{
  echo "commit:  $(git rev-parse HEAD)"
  echo "machine: $(nproc) cores, $(sed -n 's/^model name\t*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r)"
  echo "command: TRESOR_TESTS_LONG=1 cargo test -p tresor --test it -- --nocapture --test-threads 1; cargo test -p vault --lib model; cargo test -p store --lib power_cut disk_that_fails damage_to files_stay; fuzz/run.sh 60; fuzz/run.sh 600 ciphers envelope keyring_file record root_key; tests/mutants.sh"
  echo
  RUST_BACKTRACE=0 cargo test -p tresor --locked --test it -- --nocapture --test-threads 1 2>&1
  RUST_BACKTRACE=0 cargo test -p vault --locked --lib model -- --nocapture 2>&1
  RUST_BACKTRACE=0 cargo test -p store --locked --lib -- --nocapture --test-threads 1 power_cut disk_that_fails damage_to files_stay 2>&1
  echo
  fuzz/run.sh 60 2>&1
  fuzz/run.sh 600 ciphers envelope keyring_file record root_key 2>&1
  echo
  tests/mutants.sh 2>&1
} | tee benches/results/long.txt
