#!/usr/bin/env bash
# The load test: SIPp places RATE calls a second for SECONDS_MAX seconds, from one address and
# port, through a router with 2 shards, to a SIPp that answers. It passes if no call failed,
# nothing was retransmitted, both shards took part, and each call has its one right CDR. Where the
# kernel steers, nothing may be handed over between the shards; where it does not, something must.
#   scripts/load.sh [RATE [SECONDS]]        default 1000 60; binaries from target/release
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rate=${1:-1000}
duration=${2:-60}
name=load
shards=2
calls=$((rate * duration))
patience=$((duration + 60))
customer=127.0.1.1:5060
router=127.0.2.1:5060
vendor=127.0.3.1:5060
# shellcheck source=scripts/peers.sh
. scripts/peers.sh

start_router
peer uas uas-call "$vendor" -d 20 &
uas=$!
pids+=("$uas")
sleep 1
echo "load: $calls calls at $rate/s"
peer uac uac-call "$customer" -d 1000 -r "$rate" -l 100000 -s +15551234 "$router" &
uac=$!
pids+=("$uac")
wait "$uac" || { echo "load: calls failed (caller): see $work/uac.errors"; verdict=1; }
wait "$uas" || { echo "load: calls failed (vendor): see $work/uas.errors"; verdict=1; }
"$binaries/trunkline" stats --json --socket "$work/control.sock" >"$work/stats.json"
stop_router

for peer in uac uas; do
    again=$(column "$peer" 'Retransmissions(C)')
    failed=$(column "$peer" 'FailedCall(C)')
    echo "load: $peer: $failed failed calls, $again retransmissions"
    [ "$again" -eq 0 ] && [ "$failed" -eq 0 ] || verdict=1
done

# numbers NAME: what each shard counted, then the total over the shards
numbers() { grep -o "\"$1\": *[0-9]*" "$work/stats.json" | grep -o '[0-9]*$'; }
mapfile -t invites < <(numbers invites)
echo "load: ${invites[*]:0:shards} calls on the shards"
for ((shard = 0; shard < shards; shard++)); do
    [ "${invites[shard]:-0}" -gt 0 ] || verdict=1
done
handed=$(numbers handed_over | tail -1)
steering=$(numbers steering)
if [ "${steering:-0}" -eq 1 ]; then
    echo "load: the kernel steers; ${handed:-?} messages handed over between shards"
    [ "${handed:-1}" -eq 0 ] || verdict=1
else
    echo "load: the kernel does not steer; ${handed:-?} messages handed over between shards"
    [ "${handed:-0}" -gt 0 ] || verdict=1
fi
check_records
conclude
