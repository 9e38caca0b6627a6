# For the scripts that measure with an example: `example NAME` builds it and the release, and sets
#   example   its program
#   home      a directory that goes at the end
#   facts     jq's arguments for what each result tells of its run: commit, machine, load
# It needs jq (apt-get install jq).

example() {
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tresor-target/$(rustc --version | cut -d' ' -f2)}"
  cargo build --release --locked --quiet
  cargo build --release --locked --quiet -p benches --example "$1"
  example="$CARGO_TARGET_DIR/release/examples/$1"
  home="$(mktemp -d)"
  trap 'rm -rf "$home"' EXIT
  facts=(--arg commit "$(git rev-parse HEAD)" --argjson load "$(cut -d' ' -f1 /proc/loadavg)"
    --arg machine "$(nproc) cores, $(sed -n 's/^model name\t*: //p' /proc/cpuinfo | head -n 1)")
  SECONDS=0
}
