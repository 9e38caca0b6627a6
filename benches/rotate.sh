#!/usr/bin/env bash
# Measures a change of keys over 100,000 versions while 32 connections read, with the release build on this
# machine, and writes benches/results/rotate.json. It needs curl, jq and wrk (apt-get install curl jq wrk).
set -euo pipefail
cd "$(dirname "$0")/.."

readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CACHE/tresor-target/$(rustc --version | cut -d' ' -f2)}"
cargo build --release --locked --quiet
tresor="$CARGO_TARGET_DIR/release/tresor"
home="$(mktemp -d)"
pid=""
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$home"' EXIT

token=$("$tresor" init --data-dir "$home/data" --root-key-file "$home/key")
TRESOR_LOG=warn "$tresor" serve --data-dir "$home/data" --root-key-file "$home/key" --listen 127.0.0.1:0 \
  --keep-versions 100 > "$home/out" &
pid=$!
until url=$(sed -n 's/^serving //p' "$home/out") && [ -n "$url" ]; do sleep 0.01; done
call() { curl -sS --fail-with-body -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$@"; }
call -o "$home/made" "$url/tresor/v1/orgs/default/projects" -d '{"metadata":{"name":"bench"}}'
value=$(head -c 768 /dev/urandom | base64 -w 0)

# 1,000 secrets, one after the other, until each has 100 versions.
cat > "$home/put.lua" <<LUA
local n = -1
wrk.method = "PUT"
wrk.headers["Authorization"] = "Bearer $token"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"stringData":{"v":"$value"}}'
request = function()
  n = n + 1
  return wrk.format(nil, "/tresor/v1/orgs/default/projects/bench/secrets/s" .. n % 1000)
end
LUA
cat > "$home/get.lua" <<LUA
math.randomseed(1)
wrk.headers["Authorization"] = "Bearer $token"
request = function()
  return wrk.format("GET", "/tresor/v1/orgs/default/projects/bench/secrets/s" .. math.random(0, 999) .. "/data")
end
LUA
versions() { call "$url/tresor/v1/keys" | jq '[.keks[].records] | add'; }
until [ "$(versions)" -ge 100000 ]; do wrk -t1 -c64 -d5s -s "$home/put.lua" "$url" > "$home/put"; done

rotation() { call "$url/tresor/v1/keys/rotation"; }
# Reads a second over 32 connections for SECONDS.
reads() { wrk -t1 -c32 "-d$1s" -s "$home/get.lua" "$url" | awk '/^Requests\/sec:/ { printf "%.0f", $2 }'; }
rotate() { # rotates with BODY and waits; sets took, in ms by the daemon's own clock
  call -o "$home/begun" "$url/tresor/v1/keys/actions/rotate" -d "$1"
  until [ "$(rotation | jq -r .state)" = done ]; do sleep 0.1; done
  took=$(rotation | jq '[.startTimestamp, .completionTimestamp] | map(sub("\\.(?<ms>[0-9]+)Z"; "Z") | fromdate) as $s
    | map(sub(".*\\.(?<ms>[0-9]+)Z"; "\(.ms)") | tonumber) as $ms | ($s[1] - $s[0]) * 1000 + $ms[1] - $ms[0]')
}
rotate '{}'; alone=$took
# In turn: alone, beside a rotation, alone. A rotation is begun again as long as reads go on, so that the
# reads meet nothing else.
before=$(reads 6)
(until [ -e "$home/stop" ]; do rotate '{}'; echo "$took"; done > "$home/beside") &
beside=$(reads 12)
touch "$home/stop"; wait %1 2>/dev/null || wait $!
after=$(reads 6)
online=$(sort -n "$home/beside" | tail -n 1)
rotate '{"reseal":true}'; reseal=$took

jq -n --arg commit "$(git rev-parse HEAD)" \
  --arg machine "$(nproc) cores, $(sed -n 's/^model name\t*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r)" \
  --argjson versions "$(versions)" --argjson alone "$alone" --argjson online "$online" --argjson reseal "$reseal" \
  --argjson before "$before" --argjson beside "$beside" --argjson after "$after" '{
    command: "benches/rotate.sh", $commit, $machine, versions: $versions,
    rotate_alone_ms: $alone, rotate_beside_reads_ms: $online, reseal_alone_ms: $reseal,
    reads_per_second_before: $before, reads_per_second_beside: $beside, reads_per_second_after: $after,
    reads_lost_percent: ((1 - 2 * $beside / ($before + $after)) * 1000 | round / 10)
  }' | tee benches/results/rotate.json
