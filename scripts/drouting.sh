#!/usr/bin/env bash
# Beside Kamailio's drouting: a table of as many prefixes as `make prices` has codes, each with twenty
# gateways. How long until it answers, and how much memory that takes.
#   scripts/drouting.sh [PREFIXES] [SHARED_MB]     default: 750000 4000
# Needs kamailio (make setup). drouting keeps the order of the list that a rule has: twenty vendors in
# the same order everywhere, where trunkline has a price of each vendor for each prefix.
set -euo pipefail

prefixes=${1:-750000}
shared=${2:-4000}
port=${TRUNKLINE_DROUTING_PORT:-5987}
modules=$(dirname "$(find /usr/lib -name drouting.so -path '*kamailio*' 2>/dev/null | head -1)")
if [ ! -r "$modules/drouting.so" ]; then
    echo "drouting.sh: no Kamailio with drouting here; make setup installs it" >&2
    exit 1
fi
folder=$(mktemp -d)
server=
end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT

db=$folder/db
mkdir "$db"
cp /usr/share/kamailio/dbtext/kamailio/version /usr/share/kamailio/dbtext/kamailio/dr_* "$db"
{
    head -1 "$db/dr_gateways"
    for at in $(seq 20); do echo "$at:0:127.0.0.1\\:$((20000 + at)):0:::vendor$at"; done
} >"$db/dr_gateways.new"
mv "$db/dr_gateways.new" "$db/dr_gateways"
list=$(seq -s, 20)
# Of five to eight digits, crowded in few countries, each once.
rules() {
    head -1 "$db/dr_rules"
    awk -v count="$prefixes" -v list="$list" 'BEGIN {
        split("1 44 49 86 91 7 55 234", country, " ")
        srand(1)
        while (made < count) {
            digits = 3 + int(rand() * 5)
            code = country[1 + int(rand() * 8)] sprintf("%0" digits "d", int(rand() * 10 ^ digits))
            if (!(code in seen)) {
                seen[code]
                print ++made ":1:" code ": :0:0:" list ": "
            }
        }
    }'
}
rules >"$db/dr_rules.new"
mv "$db/dr_rules.new" "$db/dr_rules"

config() {
    cat <<END
debug=0
log_stderror=yes
children=1
disable_tcp=yes
listen=udp:127.0.0.1:$port
mpath="$modules/"
loadmodule "db_text.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "drouting.so"
modparam("db_text", "max_result_rows", 100000000)
modparam("drouting", "db_url", "text://$1")
modparam("drouting", "use_domain", 0)
request_route {
    sl_send_reply("200", "OK");
}
END
}

# Starts it with a table and waits until it answers; prints seconds and megabytes.
measure() {
    config "$1" >"$folder/kamailio.cfg"
    local begun line pids total=0
    begun=$(date +%s.%N)
    kamailio -f "$folder/kamailio.cfg" -m "$shared" -M "$shared" -DD -E -w "$folder" >"$folder/log" 2>&1 &
    server=$!
    exec 3<>"/dev/udp/127.0.0.1/$port"
    for _ in $(seq 1200); do
        kill -0 "$server" 2>/dev/null || {
            grep -v DEBUG "$folder/log" | head -20 >&2
            echo "drouting.sh: Kamailio ended; give it more memory: scripts/drouting.sh $prefixes $((2 * shared))" >&2
            exit 1
        }
        # The shell writes line by line, and each would be a datagram.
        printf 'OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;rport;branch=z9hG4bK%s\r\nMax-Forwards: 1\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: %s@x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n' "$RANDOM" "$RANDOM" |
            dd bs=4096 iflag=fullblock >&3 2>/dev/null || true
        # A datagram is read whole or lost.
        line=$(timeout 0.5 dd bs=4096 count=1 <&3 2>/dev/null | head -1) || true
        if [[ $line == SIP/2.0* ]]; then break; fi
    done
    exec 3>&-
    local seconds
    seconds=$(echo "$(date +%s.%N) $begun" | awk '{ printf "%.1f", $1 - $2 }')
    pids=$(pgrep -P "$server" || true)
    for pid in $server $pids; do
        total=$((total + $(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup" 2>/dev/null || echo 0)))
    done
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=
    echo "$seconds $((total / 1024))"
}

empty=$folder/empty
cp -r "$db" "$empty"
head -1 "$db/dr_rules" >"$empty/dr_rules"
idle=$(measure "$empty")
full=$(measure "$db")
read -r idle_s idle_mb <<<"$idle"
read -r full_s full_mb <<<"$full"
echo "Kamailio $(kamailio -v | head -1 | awk '{ print $3 }'), drouting with $prefixes prefixes of 20 gateways each:"
echo "ready after $full_s s ($idle_s s without them), $full_mb MB ($idle_mb MB without): $(awk -v a="$full_mb" -v b="$idle_mb" -v n="$prefixes" 'BEGIN { printf "%.0f", (a - b) * 1048576 / n }') octets a rule, the copy of its database module included"
