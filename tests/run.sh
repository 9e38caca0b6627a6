#!/usr/bin/env bash
# Runs every test. Needs Debian and Rust; gets the rest itself, once, into ~/.cache and with apt.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CACHE/tresor-target/$(rustc --version | cut -d' ' -f2)}"

cat <<TEXT
This runs all tests of Tresor. What it gets first, where it is missing:
  - from Debian, with apt-get (as root or with sudo): gcc, strace, jq, rsync, make, dpkg-dev, xz-utils, python3-venv
  - into $CACHE/tresor-tests: etcd and kubectl, and a kube-apiserver built from Debian's sources; with pip, schemathesis,
    pyca's cryptography, and the real clients that the daemon serves: Digital Hub's SDK 0.5.0 and 0.15.11, neuromation 20.12.7, apolo-cli 26.9.0 (1 GB)
It compiles into $CARGO_TARGET_DIR.
On two cores the first run takes about 30 minutes, a quarter of it for kube-apiserver; a later one about 10.

TEXT

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
missing=()
for pair in cc:gcc strace:strace; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
KUBEBUILDER_ASSETS="$(tests/setup/kubernetes.sh)"
export KUBEBUILDER_ASSETS
tests/setup/schemathesis.sh >/dev/null
tests/setup/cryptography.sh >/dev/null
tests/setup/clients.sh >/dev/null

# What cannot run fails instead of being skipped: everything it needs was just installed.
export TRESOR_TESTS_COMPLETE=1
started=$SECONDS
cargo test --workspace --locked

cat <<TEXT

All tests passed in $((SECONDS - started)) s, compilation included. They ran against
  - kube-apiserver $("$KUBEBUILDER_ASSETS/kube-apiserver" --version | cut -d' ' -f2)
  - etcd $("$KUBEBUILDER_ASSETS/etcd" --version | sed -n 's/^etcd Version: //p')
  - kubectl $("$KUBEBUILDER_ASSETS/kubectl" version --client 2>/dev/null | sed -n 's/^Client Version: //p')
  - $(strace -V | head -n 1)
  - Digital Hub's SDK 0.5.0 and 0.15.11, neuromation 20.12.7, apolo-cli 26.9.0
and nothing was skipped$([ "$(id -u)" = 0 ] || echo ", but for the look into the daemon's memory, which is root's alone").
TEXT
