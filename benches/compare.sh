#!/usr/bin/env bash
# Measures the release build beside OpenBao, and its reads beside a bare hyper server, in turn on this machine, and
# writes benches/results/compare.json. The README shows its table, and a test compares the two.
#
#   benches/compare.sh            measures, in about seven minutes; nothing else should run
#   benches/compare.sh --table    prints the table of what was measured last
#
# It needs curl, jq and wrk (apt-get install curl jq wrk).
set -euo pipefail
cd "$(dirname "$0")/.."

readonly RESULT=benches/results/compare.json
readonly ROUNDS=3 ROUND_SECONDS=5 SECRETS=1000 VERSIONS=10 IDLE_SECONDS=60

table() {
  jq -r '"| times | Tresor | the other | what |\n|---|---|---|---|",
    (.table[] | "| \(.times) | \(.tresor) | \(.other) | \(.what) |")' "$RESULT"
}
case "${1:-}" in
  "") ;;
  --table) table; exit ;;
  *) echo "usage: $0 [--table]" >&2; exit 2 ;;
esac

readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CACHE/tresor-target/$(rustc --version | cut -d' ' -f2)}"
bao="$(tests/setup/openbao.sh)"
cargo build --release --locked --quiet
cargo build --release --locked --quiet -p benches --example bare
cargo bench --locked --quiet -p benches --bench commit --no-run
tresor="$CARGO_TARGET_DIR/release/tresor"
load_before=$(cut -d' ' -f1 /proc/loadavg)
# On the disk on which benches/commit.rs measures; /tmp may be none.
home="$(mktemp -d -p "$CARGO_TARGET_DIR")"
declare -A pid=() url=()
trap 'for server in "${!pid[@]}"; do kill -KILL "${pid[$server]}" && wait "${pid[$server]}"; done 2> /dev/null || true; rm -rf "$home"' EXIT

die() { echo "compare.sh: $*" >&2; exit 1; }
millis() { date +%s%3N; }
note() { # WHAT OF VALUE: keeps a sample
  jq -cn --arg what "$1" --arg of "$2" --argjson value "$3" '{ $what, $of, $value }' | tee -a "$home/samples" >&2
}
free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

value=$(head -c 768 /dev/urandom | base64 -w 0)
# How each is spoken to. The two are given administrators, and both keep ten versions by themselves.
declare -A method=([tresor]=PUT [openbao]=POST)
declare -A before=([tresor]=/tresor/v1/orgs/default/projects/bench/secrets/s [openbao]=/v1/secret/data/s)
declare -A after=([tresor]=/data [openbao]="")
declare -A header=([tresor]=Authorization [openbao]=X-Vault-Token)
declare -A body=([tresor]="{\"stringData\":{\"v\":\"$value\"}}" [openbao]="{\"data\":{\"v\":\"$value\"}}")
declare -A token=()
call() { # SERVER PATH [CURL'S..]
  local server=$1 path=$2; shift 2
  curl -sS --no-progress-meter --fail-with-body -H "${header[$server]}: ${token[$server]}" -H 'Content-Type: application/json' \
    "$@" "${url[$server]}$path"
}
secret() { call "$1" "${before[$1]}$2${after[$1]}" "${@:3}"; }

run_tresor() {
  # Or what the one before has said may still be there.
  rm -f "$home/tresor.out"; touch "$home/tresor.out"
  TRESOR_LOG=warn "$tresor" serve --data-dir "$home/tresor" --root-key-file "$home/key" --listen 127.0.0.1:0 \
    > "$home/tresor.out" &
  pid[tresor]=$!
  until url[tresor]=$(sed -n 's/^serving //p' "$home/tresor.out") && [ -n "${url[tresor]}" ]; do pause tresor; done
}
run_openbao() {
  "$bao" server -config="$home/openbao.hcl" -log-level=warn > "$home/openbao.out" 2>&1 &
  pid[openbao]=$!
  [ -z "${unseal:-}" ] || until call openbao /v1/sys/unseal -X PUT -d "$unseal" > "$home/unsealed" 2>&1; do pause openbao; done
}
pauses=0
pause() { # SERVER: between two looks at whether it is ready
  kill -0 "${pid[$1]}" 2>/dev/null || die "$1 has ended: $(cat "$home/$1.out")"
  pauses=$((pauses + 1))
  [ "$pauses" -lt 20000 ] || die "$1 does not come to be ready: $(cat "$home/$1.out")"
  sleep 0.002
}
start() { # SERVER WHAT: until a secret that was there before is read
  local began; began=$(millis)
  "run_$1"
  until secret "$1" 500 > "$home/read" 2>&1; do pause "$1"; done
  note "$2" "$1" $(($(millis) - began))
}
stop() { # SIGNAL SERVER
  kill "-$1" "${pid[$2]}"
  wait "${pid[$2]}" 2>/dev/null || true
  unset "pid[$2]"
}
rss() { note "$1" "$2" "$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/${pid[$2]}/status")"; }
disk() { note "$1" "$2" "$(du -s -B1 "${@:3}" | awk '{ sum += $1 } END { print sum }')"; }

# New stores, with as many secrets of as many versions.
token[tresor]="Bearer $("$tresor" init --data-dir "$home/tresor" --root-key-file "$home/key")"
run_tresor
call tresor "${before[tresor]%/bench/*}" -d '{"metadata":{"name":"bench"}}' -o "$home/made"

mkdir "$home/openbao"
port=$(free_port)
cat > "$home/openbao.hcl" <<HCL
api_addr = "http://127.0.0.1:$port"
cluster_addr = "http://127.0.0.1:$(free_port)"
listener "tcp" {
  address = "127.0.0.1:$port"
  tls_disable = true
}
storage "raft" {
  path = "$home/openbao"
  node_id = "one"
}
audit "file" "file" {
  options = { file_path = "$home/openbao-audit.jsonl" }
}
HCL
url[openbao]="http://127.0.0.1:$port" token[openbao]=none
run_openbao
until call openbao /v1/sys/init -X PUT -d '{"secret_shares":1,"secret_threshold":1}' > "$home/init" 2> "$home/refused"; do pause openbao; done
token[openbao]=$(jq -r .root_token "$home/init")
unseal=$(jq -c '{ key: .keys[0] }' "$home/init")
call openbao /v1/sys/unseal -X PUT -d "$unseal" -o "$home/unsealed"
until call openbao /v1/sys/mounts/secret -d '{"type":"kv","options":{"version":"2"}}' > "$home/mounted" 2>&1; do pause openbao; done
# The mount is not ready for writes at once.
until call openbao "${before[openbao]}0" -d "${body[openbao]}" > "$home/made" 2>&1; do pause openbao; done
call openbao /v1/secret/metadata/s0 -X DELETE

many() { # SERVER CONNECTIONS SUFFIX [CURL'S..]: the same request to each secret
  call "$1" "${before[$1]}[1-$SECRETS]$3" -Z --parallel-max "$2" -o /dev/null "${@:4}"
}
for server in openbao tresor; do
  for _ in $(seq "$VERSIONS"); do many $server 64 "" -X "${method[$server]}" -d "${body[$server]}"; done
done
check() { # SECRET VERSIONS: that both have the value that was written, and as many versions at least
  {
    secret openbao "$1" | jq -e --arg v "$value" --argjson n "$2" '.data | .data.v == $v and .metadata.version >= $n' &&
      secret tresor "$1" | jq -e --arg v "$(printf %s "$value" | base64 -w 0)" '.data.v == $v' &&
      call tresor "${before[tresor]}$1/versions" | jq -e --argjson n "$2" '[.. | .version? | numbers] | max >= $n'
  } > "$home/checked" || die "s$1 is not what was written"
}
for n in 1 500 "$SECRETS"; do check "$n" "$VERSIONS"; done
stop TERM openbao; stop TERM tresor
disk store_bytes openbao "$home/openbao"
disk store_bytes tresor "$home/tresor" --exclude=audit
disk audit_bytes openbao "$home/openbao-audit.jsonl"
disk audit_bytes tresor "$home/tresor/audit"

for _ in $(seq "$ROUNDS"); do
  for server in openbao tresor; do
    start $server first_read_after_clean_stop_ms; stop KILL $server
    start $server first_read_after_kill_ms; stop TERM $server
  done
done

run_openbao; run_tresor
sleep "$IDLE_SECONDS"
for server in openbao tresor; do rss rss_idle_kib $server; done
for server in openbao tresor; do
  until secret $server 1 > "$home/read" 2>&1; do pause $server; done
  for _ in {1..10}; do many $server 32 "${after[$server]}"; done
  rss rss_after_10000_reads_kib $server
done

secret tresor 1 -i -o "$home/answer"
"$CARGO_TARGET_DIR/release/examples/bare" "$home/answer" > "$home/bare.out" &
pid[bare]=$!
until url[bare]=$(sed -n 's/^serving //p' "$home/bare.out") && [ -n "${url[bare]}" ]; do pause bare; done
cmp <(tail -n 1 "$home/answer") <(curl -sS "${url[bare]}") || die "the bare server's answer is another one"

# One generator for all. Requests are written down before they are sent, so that it takes little of the CPU.
cat > "$home/load.lua" <<'LUA'
local requests = {}
init = function(args)
  wrk.headers[args[1]] = args[2]
  local body = args[6]
  if body then wrk.headers["Content-Type"] = "application/json" end
  for n = 1, 1000 do requests[n] = wrk.format(args[3], args[4] .. n .. args[5], nil, body) end
  math.randomseed(1)
end
request = function() return requests[math.random(#requests)] end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"per_s":%.0f,"p99_ms":%.2f,"failed":%d}\n', summary.requests / summary.duration * 1e6,
    latency:percentile(99) / 1000, e.connect + e.read + e.write + e.status + e.timeout))
end
LUA
load() { # GET|PUT CONNECTIONS SERVER
  local what="${1,,}_$2" as=${3/bare/tresor}
  local args=("${header[$as]}" "${token[$as]}")
  case $1 in
    GET) args+=(GET "${before[$as]}" "${after[$as]}") ;;
    PUT) args+=("${method[$as]}" "${before[$as]}" "" "${body[$as]}") ;;
  esac
  # What others have left to be written is not this one's to wait for.
  sync
  wrk -t1 "-c$2" "-d${ROUND_SECONDS}s" --timeout 10s -s "$home/load.lua" "${url[$3]}" -- "${args[@]}" > "$home/wrk"
  tail -n 1 "$home/wrk" > "$home/rate"
  [ "$(jq .failed "$home/rate")" = 0 ] || die "$3 did not answer all of $what: $(cat "$home/wrk")"
  note "${what}_per_s" "$3" "$(jq .per_s "$home/rate")"
  note "${what}_p99_ms" "$3" "$(jq .p99_ms "$home/rate")"
}
# The same disk, one writer, 4 KiB overwritten and synced each.
syncs() {
  local took
  took=$(dd if=/dev/zero of="$home/sync" bs=4k count=500 oflag=dsync conv=notrunc 2>&1 | sed -n 's/.*, \([0-9.]*\) s,.*/\1/p')
  note syncs_per_s disk "$(awk -v s="$took" 'BEGIN { printf "%.0f", 500 / s }')"
}
# Puts a second of the same records, 64 at once, through the store alone and in batches of sled alone.
commits() {
  export CRITERION_HOME="$home/criterion"
  cargo bench --locked --quiet -p benches --bench commit -- --warm-up-time 1 --measurement-time 3 \
    'commit/(tresor|sled)/64' > "$home/commits"
  note commits_64_per_s store "$(jq '1e9 / .median.point_estimate | round' "$home/criterion/commit/tresor/64/new/estimates.json")"
  note commits_64_per_s sled "$(jq '1e9 / .median.point_estimate | round' "$home/criterion/commit/sled/64/new/estimates.json")"
}
dd if=/dev/zero of="$home/sync" bs=4k count=500 conv=fsync 2> "$home/dd"
for _ in $(seq "$ROUNDS"); do
  for connections in 1 32; do
    for server in openbao tresor bare; do load GET $connections $server; done
  done
  for connections in 1 16 64; do
    for server in openbao tresor; do load PUT $connections $server; done
  done
  syncs
  commits
done
for server in openbao tresor; do rss rss_after_load_kib $server; done
for n in 1 500 "$SECRETS"; do check "$n" "$VERSIONS"; done
stop TERM bare; stop TERM openbao; stop TERM tresor
note binary_bytes openbao "$(stat -c %s "$bao")"
note binary_bytes tresor "$(stat -c %s "$tresor")"

jq -s --arg commit "$(git rev-parse HEAD)" --argjson load_before "$load_before" --argjson seconds "$SECONDS" \
  --arg machine "$(nproc) cores, $(sed -n 's/^model name\t*: //p' /proc/cpuinfo | head -n 1)" \
  --arg tresor "$("$tresor" --version | cut -d' ' -f2)" --arg openbao "$("$bao" version | sed 's/^OpenBao v\([^ ,]*\).*/\1/')" \
  --arg wrk "$(wrk -v 2>&1 | sed -n 's/^wrk \([^ ]*\).*/\1/p')" --arg linux "$(uname -r)" '
  def by(f): group_by(f) | map({ key: (.[0] | f), value: . }) | from_entries;
  def median: sort | .[length / 2 | floor];
  def short: if . >= 10 then round elif . >= 1 then . * 10 | round / 10 else . * 100 | round / 100 end;
  (by(.what) | map_values(by(.of) | map_values(map(.value)))) as $samples
  | ($samples | map_values(map_values(median))) as $m
  | ([64 * $m.syncs_per_s.disk, $m.commits_64_per_s.sled] | min) as $possible
  | def row($what; $figure; $wanted):
      { what: $what, tresor: $m[$figure].tresor, other: $m[$figure].openbao, $wanted };
    def least($n): { at_least: $n };
    def most($n): { at_most: $n };
    [ row("reads a second over 32 connections"; "get_32_per_s"; least(12)),
      { what: "the same, beside a bare hyper server", tresor: $m.get_32_per_s.tresor, other: $m.get_32_per_s.bare,
        wanted: least(0.75) },
      row("reads a second over one connection"; "get_1_per_s"; null),
      row("durable writes a second over 64 connections"; "put_64_per_s"; least(10)),
      { what: "the same, beside sled alone with the same records in batches of 64", tresor: $m.put_64_per_s.tresor,
        other: $possible, wanted: least(0.6) },
      row("durable writes a second over 16 connections"; "put_16_per_s"; null),
      row("durable writes a second over one connection"; "put_1_per_s"; null),
      row("KiB of memory 60 s after start"; "rss_idle_kib"; most(12288)),
      row("KiB of memory after 10,000 reads"; "rss_after_10000_reads_kib"; most(20480)),
      row("KiB of memory after all that is above"; "rss_after_load_kib"; null),
      row("ms from start to the first read, after a clean stop"; "first_read_after_clean_stop_ms"; null),
      row("ms from start to the first read, after a kill"; "first_read_after_kill_ms"; null),
      row("bytes on disk of 1,000 secrets with 10 versions each"; "store_bytes"; null),
      row("bytes of the audit log of these 10,000 writes"; "audit_bytes"; null),
      row("bytes of the binary"; "binary_bytes"; null) ]
  | map(.times = .tresor / .other
      | .met = (if .wanted == null then null elif .wanted.at_least then .times >= .wanted.at_least
                else .tresor <= .wanted.at_most end)
      | .times |= short
      | .what += (if .wanted == null then ""
          else "; \(if .wanted.at_least then "at least \(.wanted.at_least) times" else "at most \(.wanted.at_most)" end) wanted\(
            if .met then "" else ": **missed**" end)" end)) as $table
  | { $commit, command: "benches/compare.sh", $machine, load_at_the_start: $load_before, $seconds,
      versions: { $tresor, $openbao, $wrk, $linux }, $samples, medians: $m, $table }' "$home/samples" > "$home/result"
cp "$home/result" "$RESULT"
table
