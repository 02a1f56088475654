#!/usr/bin/env bash
# The load test: SIPp places RATE calls a second for SECONDS_MAX seconds, from one address and
# port, through a router with 2 shards, to a SIPp that answers. It passes if no call failed,
# nothing was retransmitted, both shards took part, and each call has its one right CDR.
#   scripts/load.sh [RATE [SECONDS]]        default 1000 60; binaries from target/release
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rate=${1:-1000}
duration=${2:-60}
calls=$((rate * duration))
binaries=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d)
here=$PWD
pids=()
verdict=1
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait || true
    if [ "$verdict" -eq 0 ]; then rm -rf "$work"; else echo "load: logs are in $work"; fi
}
trap finish EXIT

customer=127.0.1.1:5060
router=127.0.2.1:5060
vendor=127.0.3.1:5060

cat >"$work/trunkline.toml" <<EOF
[node]
name = "load"
state_dir = "$work/state"
shards = 2

[cdr]
directory = "$work/cdr"

[control]
socket = "$work/control.sock"

[[listener]]
name = "udp"
transport = "udp"
address = "$router"

[[trunk]]
name = "customer"
carrier = "buyer"
sources = ["${customer%:*}/32"]

[[gateway]]
name = "vendor"
carrier = "seller"
address = "$vendor"
transport = "udp"

[[route]]
prefix = ""
gateways = ["vendor"]
EOF

"$binaries/trunkline" run --config "$work/trunkline.toml" >"$work/router.log" 2>&1 &
router_pid=$!
pids+=("$router_pid")
for _ in $(seq 100); do
    grep -q ready "$work/router.log" && break
    sleep 0.1
done
grep -q ready "$work/router.log" || { cat "$work/router.log"; exit 1; }

# peer NAME SCENARIO ADDRESS ARGUMENTS...: SIPp with its figures in NAME.csv
peer() {
    local name=$1 scenario=$2 address=$3
    shift 3
    cd "$work"
    exec sipp -sf "$here/perf/sipp/$scenario.xml" -i "${address%:*}" -p "${address#*:}" -t u1 \
        -nostdin -m "$calls" -timeout $((duration + 60)) -timeout_error -buff_size 4194304 \
        -trace_err -error_file "$name.errors" -trace_logs -log_file "$name.truth" \
        -trace_stat -stf "$name.csv" -fd 5 "$@" >"$name.screen" 2>&1
}
peer uas uas-call "$vendor" -d 20 &
uas=$!
pids+=("$uas")
sleep 1
echo "load: $calls calls at $rate/s"
peer uac uac-call "$customer" -d 1000 -r "$rate" -l 100000 -s +15551234 "$router" &
uac=$!
pids+=("$uac")
verdict=0
wait "$uac" || { echo "load: calls failed (caller): see $work/uac.errors"; verdict=1; }
wait "$uas" || { echo "load: calls failed (vendor): see $work/uas.errors"; verdict=1; }

"$binaries/trunkline" stats --json --socket "$work/control.sock" >"$work/stats.json"
kill -TERM "$router_pid"
wait "$router_pid" || { echo "load: the router ended badly"; verdict=1; }

# column FILE NAME: the last value of a column of SIPp's statistics
column() {
    awk -F';' -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i }
                            { last = $at } END { print last + 0 }' "$1"
}
for peer in uac uas; do
    again=$(column "$work/$peer.csv" 'Retransmissions(C)')
    failed=$(column "$work/$peer.csv" 'FailedCall(C)')
    echo "load: $peer: $failed failed calls, $again retransmissions"
    [ "$again" -eq 0 ] && [ "$failed" -eq 0 ] || verdict=1
done
# The last one is the total over the shards.
handed=$(grep -o '"handed_over": *[0-9]*' "$work/stats.json" | tail -1 | grep -o '[0-9]*$')
echo "load: $handed messages handed over between shards"
[ "${handed:-0}" -gt 0 ] || verdict=1
"$binaries/cdr-check" --tolerance-ms 100 --truth "$work/uac.truth" --cdr "$work/cdr" || verdict=1
[ "$verdict" -eq 0 ] && echo "load: passed" || echo "load: FAILED"
exit "$verdict"
