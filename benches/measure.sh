#!/usr/bin/env bash
# Measures the release build on this machine and writes benches/results/measure.json. The README shows
# these figures, and a test compares the two. It needs curl and wrk (apt-get install curl wrk).
set -euo pipefail
cd "$(dirname "$0")/.."

readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CACHE/tresor-target/$(rustc --version | cut -d' ' -f2)}"
cargo build --release --locked --quiet
tresor="$CARGO_TARGET_DIR/release/tresor"
home="$(mktemp -d)"
pid=""
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$home"' EXIT

millis() { date +%s%3N; }
start() { # sets pid, url and how many milliseconds it took
  # Else the address of the one before is read, until the file is begun anew.
  rm -f "$home/out"
  local began; began=$(millis)
  TRESOR_LOG=warn "$tresor" serve --data-dir "$home/data" --root-key-file "$home/key" --listen 127.0.0.1:0 > "$home/out" &
  pid=$!
  until url=$(sed -n 's/^serving //p' "$home/out" 2>/dev/null) && [ -n "$url" ]; do sleep 0.002; done
  took=$(( $(millis) - began ))
}
stop() { kill "-$1" "$pid"; wait "$pid" 2>/dev/null || true; pid=""; }
rss() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status"; }
call() { curl -sS -o /dev/null --fail-with-body -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$@"; }

token=$("$tresor" init --data-dir "$home/data" --root-key-file "$home/key")
start
rss_start=$(rss)
secrets="$url/tresor/v1/orgs/default/projects/bench/secrets"
call "${secrets%/bench/secrets}" -d '{"metadata":{"name":"bench"}}'
value=$(head -c 768 /dev/urandom | base64 -w 0)
for n in $(seq 1 1000); do call -X PUT "$secrets/s$n" -d "{\"stringData\":{\"v\":\"$value\"}}"; done

cat > "$home/get.lua" <<LUA
math.randomseed(1)
wrk.headers["Authorization"] = "Bearer $token"
request = function() return wrk.format("GET", "/tresor/v1/orgs/default/projects/bench/secrets/s" .. math.random(1, 1000) .. "/data") end
LUA
cat > "$home/put.lua" <<LUA
math.randomseed(1)
wrk.method = "PUT"
wrk.headers["Authorization"] = "Bearer $token"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"stringData":{"v":"$value"}}'
request = function() return wrk.format(nil, "/tresor/v1/orgs/default/projects/bench/secrets/s" .. math.random(1, 1000)) end
LUA
rate() { wrk -t1 "-c$1" -d10s -s "$home/$2.lua" "$url" | awk '/^Requests\/sec:/ { printf "%.0f", $2 }'; }
get_32=$(rate 32 get)
put_1=$(rate 1 put)
put_64=$(rate 64 put)
# The same disk, one writer, 4 KiB overwritten and synced each: what one durable write costs at least.
dd if=/dev/zero of="$home/sync" bs=4k count=500 conv=fsync 2>/dev/null
syncs=$(dd if=/dev/zero of="$home/sync" bs=4k count=500 oflag=dsync conv=notrunc 2>&1 | sed -n 's/.*, \([0-9.]*\) s,.*/\1/p')
sync_rate=$(awk -v s="$syncs" 'BEGIN { printf "%.0f", 500 / s }')
rss_load=$(rss)
stop TERM
start; start_clean=$took
stop KILL
start; start_killed=$took
stop TERM

cat > benches/results/measure.json <<JSON
{
  "commit": "$(git rev-parse HEAD)",
  "command": "benches/measure.sh",
  "machine": "$(nproc) cores, $(sed -n 's/^model name\t*: //p' /proc/cpuinfo | head -n 1)",
  "binary_bytes": $(stat -c %s "$tresor"),
  "rss_after_start_kib": $rss_start,
  "rss_after_load_kib": $rss_load,
  "get_1kib_32_connections_per_s": $get_32,
  "put_1kib_1_connection_per_s": $put_1,
  "put_1kib_64_connections_per_s": $put_64,
  "raw_4kib_synced_overwrites_per_s": $sync_rate,
  "start_after_clean_stop_ms": $start_clean,
  "start_after_kill_ms": $start_killed
}
JSON
cat benches/results/measure.json
