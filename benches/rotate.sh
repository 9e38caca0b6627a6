#!/usr/bin/env bash
# Measures a change of keys over 100,000 versions of 1 KiB while 32 connections read, with the release build on
# this machine, and writes benches/results/rotate.json: once with ten versions for a secret, and once with one.
# It needs curl, jq and wrk (apt-get install curl jq wrk).
set -euo pipefail
cd "$(dirname "$0")/.."

readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CACHE/tresor-target/$(rustc --version | cut -d' ' -f2)}"
cargo build --release --locked --quiet
tresor="$CARGO_TARGET_DIR/release/tresor"
home="$(mktemp -d)"
pid=""
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$home"' EXIT
value=$(head -c 768 /dev/urandom | base64 -w 0)

call() { curl -sS --fail-with-body -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$@"; }
versions() { call "$url/tresor/v1/keys" | jq '[.keks[].records] | add'; }

start() { # a new store with SECRETS of VERSIONS each; sets pid, url and token
  local secrets=$1 versions=$2
  rm -rf "$home/data" "$home/key"
  token=$("$tresor" init --data-dir "$home/data" --root-key-file "$home/key")
  TRESOR_LOG=warn "$tresor" serve --data-dir "$home/data" --root-key-file "$home/key" \
    --listen 127.0.0.1:0 --keep-versions "$versions" > "$home/out" &
  pid=$!
  until url=$(sed -n 's/^serving //p' "$home/out") && [ -n "$url" ]; do sleep 0.01; done
  call -o "$home/made" "$url/tresor/v1/orgs/default/projects" -d '{"metadata":{"name":"bench"}}'
  cat > "$home/put.lua" <<LUA
local n = -1
wrk.method = "PUT"
wrk.headers["Authorization"] = "Bearer $token"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"stringData":{"v":"$value"}}'
request = function()
  n = n + 1
  return wrk.format(nil, "/tresor/v1/orgs/default/projects/bench/secrets/s" .. n % $secrets)
end
LUA
  cat > "$home/get.lua" <<LUA
math.randomseed(1)
wrk.headers["Authorization"] = "Bearer $token"
request = function()
  return wrk.format("GET", "/tresor/v1/orgs/default/projects/bench/secrets/s" .. math.random(0, 999) .. "/data")
end
LUA
  # One secret after the other, until each has all its versions.
  local seconds=60
  until [ "$(versions)" -ge $((secrets * versions)) ]; do
    wrk -t1 -c64 "-d${seconds}s" -s "$home/put.lua" "$url" > "$home/put"
    seconds=90
  done
}

# Reads a second over 32 connections for SECONDS.
reads() { wrk -t1 -c32 "-d$1s" -s "$home/get.lua" "$url" | awk '/^Requests\/sec:/ { printf "%.0f", $2 }'; }
rotation() { call "$url/tresor/v1/keys/rotation"; }
begin() { call -o "$home/begun" "$url/tresor/v1/keys/actions/rotate" -d "$1"; }
finish() { # waits for the end; prints how long it took, in ms by the daemon's own clock
  until [ "$(rotation | jq -r .state)" = done ]; do sleep 0.1; done
  rotation | jq '[.startTimestamp, .completionTimestamp] | map(sub("\\.[0-9]+Z"; "Z") | fromdate) as $s
    | map(sub(".*\\.(?<ms>[0-9]+)Z"; "\(.ms)") | tonumber) as $ms | ($s[1] - $s[0]) * 1000 + $ms[1] - $ms[0]'
}
spent() { awk '{ print ($14 + $15) * 10 }' "/proc/$pid/stat"; }

measure() { # SECRETS VERSIONS: prints an object
  start "$1" "$2"
  reads 5 > "$home/warm"
  local cpu; cpu=$(spent)
  begin '{}'; local alone; alone=$(finish)
  cpu=$(($(spent) - cpu))
  # In turn, so that what else the machine does falls on both. The reads end before the rotation does.
  for round in 1 2 3; do
    local before beside online after
    before=$(reads 7)
    begin '{}'; beside=$(reads 7); online=$(finish)
    after=$(reads 7)
    jq -n --argjson round "$round" --argjson before "$before" --argjson beside "$beside" --argjson after "$after" \
      --argjson online "$online" '{ $round, rotation_ms: $online, reads_per_s_before: $before, reads_per_s_beside: $beside,
        reads_per_s_after: $after, lost_percent: ((1 - 2 * $beside / ($before + $after)) * 1000 | round / 10) }'
  done > "$home/rounds"
  begin '{"reseal":true}'; local reseal; reseal=$(finish)
  jq -s --argjson secrets "$1" --argjson each "$2" --argjson versions "$(versions)" --argjson alone "$alone" \
    --argjson cpu "$cpu" --argjson reseal "$reseal" '{ $secrets, versions_each: $each, $versions,
      alone_ms: $alone, alone_cpu_ms: $cpu, reseal_alone_ms: $reseal, rounds: .,
      slowest_beside_reads_ms: (map(.rotation_ms) | max), median_lost_percent: (map(.lost_percent) | sort | .[1]) }' \
    "$home/rounds"
  kill "$pid"; wait "$pid" 2>/dev/null || true; pid=""
}

{ measure 10000 10; measure 100000 1; } | jq -s --arg commit "$(git rev-parse HEAD)" \
  --arg machine "$(nproc) cores, $(sed -n 's/^model name\t*: //p' /proc/cpuinfo | head -n 1)" '{
    $commit, command: "benches/rotate.sh", $machine, stores: . }' > "$home/result"
cp "$home/result" benches/results/rotate.json
cat benches/results/rotate.json
