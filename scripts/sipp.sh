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
    uac-refused) usual='uas-busy' ;;
    uac-register | uac-options) usual= ;; # the router answers itself
    *) usual=uas-${scenario#uac-} ;;
esac
answer=${ANSWER:-$usual}

name=sipp
shards=1
patience=$((calls / rate + 90))
customer=127.12.1.1:5060
router=127.12.2.1:5060
vendor=127.12.3.1:5060
# shellcheck source=scripts/peers.sh
. scripts/peers.sh

start_router
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
stop_router

echo "sipp: $(column uac 'SuccessfulCall(C)') as wanted," \
    "$(column uac 'FailedCall(C)') failed," \
    "$(column uac 'Retransmissions(C)') retransmissions"
[ ! -s "$work/uac.truth" ] || check_records
conclude
