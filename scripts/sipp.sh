#!/usr/bin/env bash
# Plays one of the SIPp scenarios of perf/sipp through a router that it starts, and says whether
# all calls went as the scenario wants and whether each has its one right CDR.
#   scripts/sipp.sh SCENARIO [CALLS [RATE]]     default 1000 calls, 100/s; binaries from target/release
#   SCENARIO: uac-call, uac-cancel, … (without .xml). The answering side is uas-… of the same name;
#   ANSWER=uas-busy names another. Without any argument it lists the scenarios.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scenario=${1:-}
calls=${2:-1000}
rate=${3:-100}
if [ -z "$scenario" ] || [ ! -f "perf/sipp/$scenario.xml" ]; then
    [ -z "$scenario" ] || echo "sipp: there is no perf/sipp/$scenario.xml"
    for file in perf/sipp/uac-*.xml; do basename "$file" .xml; done
    exit 2
fi
case $scenario in
    uac-refused) usual=uas-busy ;;
    uac-register | uac-options) usual= ;; # the router answers itself
    *) usual=uas-${scenario#uac-} ;;
esac
answer=${ANSWER:-$usual}

binaries=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d)
here=$PWD
pids=()
verdict=1
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait || true
    if [ "$verdict" -eq 0 ]; then rm -rf "$work"; else echo "sipp: logs are in $work"; fi
}
trap finish EXIT

customer=127.12.1.1:5060
router=127.12.2.1:5060
vendor=127.12.3.1:5060

cat >"$work/trunkline.toml" <<END
[node]
name = "sipp"
state_dir = "$work/state"

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
prefix = "*"
gateways = ["vendor"]
END

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
        -nostdin -m "$calls" -timeout $((calls / rate + 90)) -timeout_error \
        -trace_err -error_file "$name.errors" -trace_logs -log_file "$name.truth" \
        -trace_stat -stf "$name.csv" -fd 5 "$@" >"$name.screen" 2>&1
}
verdict=0
if [ -n "$answer" ]; then
    peer uas "$answer" "$vendor" -d 20 &
    uas=$!
    pids+=("$uas")
    sleep 0.5
fi
echo "sipp: $scenario, $calls calls at $rate/s${answer:+, answered by $answer}"
peer uac "$scenario" "$customer" -d 200 -r "$rate" -l 100000 -s +15551234 "$router" &
uac=$!
pids+=("$uac")
wait "$uac" || { echo "sipp: calls failed (caller)"; head -20 "$work/uac.errors"; verdict=1; }
if [ -n "$answer" ]; then
    wait "$uas" || { echo "sipp: calls failed (vendor)"; head -20 "$work/uas.errors"; verdict=1; }
fi
kill -TERM "$router_pid"
wait "$router_pid" || { echo "sipp: the router ended badly"; verdict=1; }

# column FILE NAME: the last value of a column of SIPp's statistics
column() {
    awk -F';' -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i }
                            { last = $at } END { print last + 0 }' "$1"
}
echo "sipp: $(column "$work/uac.csv" 'SuccessfulCall(C)') as wanted," \
    "$(column "$work/uac.csv" 'FailedCall(C)') failed," \
    "$(column "$work/uac.csv" 'Retransmissions(C)') retransmissions"
if [ -s "$work/uac.truth" ]; then
    "$binaries/cdr-check" --tolerance-ms 100 --truth "$work/uac.truth" --cdr "$work/cdr" || verdict=1
fi
[ "$verdict" -eq 0 ] && echo "sipp: passed" || echo "sipp: FAILED"
exit "$verdict"
