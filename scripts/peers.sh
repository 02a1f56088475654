# shellcheck shell=bash
# A router between two SIPps, for load.sh and sipp.sh, which source this after setting
#   name      what they call themselves, in messages and as the node's name
#   shards    how many shards the router has
#   customer router vendor   the addresses, ADDRESS:PORT
#   calls patience           how many calls each SIPp plays, and for how many seconds at most
# It leaves: work (a folder, gone again if verdict is 0 at the end), binaries, pids, router_pid.

: "${name:?}" "${shards:?}" "${customer:?}" "${router:?}" "${vendor:?}" "${calls:?}" "${patience:?}"

binaries=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d)
here=$PWD
pids=()
verdict=1

finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait || true
    if [ "$verdict" -eq 0 ]; then rm -rf "$work"; else echo "$name: logs are in $work"; fi
}
trap finish EXIT

# Starts the router and waits until it is ready.
start_router() {
    cat >"$work/trunkline.toml" <<END
[node]
name = "$name"
state_dir = "$work/state"
shards = $shards

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
        # From here on only what goes wrong sets it.
        grep -q ready "$work/router.log" && verdict=0 && return
        sleep 0.1
    done
    cat "$work/router.log"
    exit 1
}

# Ends the router, which must end well.
stop_router() {
    kill -TERM "$router_pid"
    wait "$router_pid" || { echo "$name: the router ended badly"; verdict=1; }
}

# peer NAME SCENARIO ADDRESS ARGUMENTS...: SIPp with its figures in NAME.csv
peer() {
    local peer=$1 scenario=$2 address=$3
    shift 3
    cd "$work" || exit
    exec sipp -sf "$here/perf/sipp/$scenario.xml" -i "${address%:*}" -p "${address#*:}" -t u1 \
        -nostdin -m "$calls" -timeout "$patience" -timeout_error -buff_size 4194304 \
        -trace_err -error_file "$peer.errors" -trace_logs -log_file "$peer.truth" \
        -trace_stat -stf "$peer.csv" -fd 5 "$@" >"$peer.screen" 2>&1
}

# column PEER NAME: the last value of a column of a SIPp's statistics
column() {
    awk -F';' -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i }
                            { last = $at } END { print last + 0 }' "$work/$1.csv"
}

# Whether each call that the caller tells of has its one right record.
check_records() {
    "$binaries/cdr-check" --tolerance-ms 100 --truth "$work/uac.truth" --cdr "$work/cdr" || verdict=1
}

# The last words.
conclude() {
    if [ "$verdict" -eq 0 ]; then echo "$name: passed"; else echo "$name: FAILED"; fi
    exit "$verdict"
}
