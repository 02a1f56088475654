#!/usr/bin/env bash
# Installs what `make test` needs and this machine lacks: Debian packages and cargo-deny.
# Does nothing, and needs no network, where all of it is there already.
set -euo pipefail

# sip-tester: sipp · kamailio: a second proxy · tshark: reads what we send · nftables, iproute2: loss in a namespace of its own
# ethtool, shellcheck, systemd: what deploy/ is tried with · valgrind: counts instructions · xz-utils: packed test data · postgresql: a server for the tests of the store · build-essential: the C compiler of the allocator's crate · ca-certificates, curl: for cargo · python3-pip: brings release.sh its llvm-profdata where rustup does not
packages=(sip-tester kamailio tshark nftables iproute2 ethtool shellcheck systemd valgrind xz-utils postgresql build-essential ca-certificates curl python3-pip)
CARGO_DENY=0.20.2

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

missing=()
for package in "${packages[@]}"; do
    if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
        missing+=("$package")
    fi
done
if [ "${#missing[@]}" -gt 0 ]; then
    echo "setup: installing ${missing[*]}"
    as_root apt-get update -q
    # The packages start a Kamailio and a PostgreSQL of their own, which nobody here wants: a policy that forbids
    # services to start is put in place while it installs, unless the machine has one.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        trap 'as_root rm -f "$policy"' EXIT
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

for component in rustfmt clippy; do
    cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
done

if [ "$(cargo deny --version 2>/dev/null)" != "cargo-deny $CARGO_DENY" ]; then
    # A debug build: it takes two minutes instead of ten, and it reads one lock file.
    cargo install cargo-deny --locked --version "$CARGO_DENY" --debug
fi

for tool in sipp kamailio tshark nft ip unshare; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null || {
        echo "setup: $tool is still missing" >&2
        exit 1
    }
done
