#!/usr/bin/env bash
# Benchmarks of Larder beside nginx and beside doing without: see README.md in this folder.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$HERE")
# For localhost; by all who are measured over TLS.
TLS_CERTIFICATE=$ROOT/tests/it/support/tls/server.pem
TLS_KEY=$ROOT/tests/it/support/tls/server.key
ALL_PARTS=(hits tokens http2 tls zips miss keep graph sumdb hung growth start idle)

usage() {
    cat <<USAGE
Usage: benches/run.sh [--quick] [--rounds N] [--write] [PART...]

Parts: ${ALL_PARTS[*]} (all, when none is given)

  --quick      one short round of everything, to see that it works; its figures mean little
  --rounds N   rounds of each part (default 5)
  --write      put the table into docs/performance.md, in place of the one there

Environment:
  LARDER       the program to measure (default: built with cargo build --release --locked)
  BENCH_TOOLS  folder with emulated-upstream, bench-client, fill-store and keep-files (default: built likewise)
  PEER         the goproxy program to measure beside (default: built with go from benches/peer/, kept in
               \${XDG_CACHE_HOME:-~/.cache}/larder-bench; without it, its rows are left out)
  GRAPH_DATA, GRAPH_MOD  for the parts "graph" and "sumdb": a folder in the download-cache layout and the go.mod to
               download, as benches/fetch-graph.sh makes them
  GROWTH_SIZES for the part "growth": numbers of kept versions, the smallest first
  TMPDIR       where temporary data goes (up to 5 GB; an ordinary disk is right)
USAGE
}

COMMAND="benches/run.sh $*"
ROUNDS=5 QUICK=false WRITE=false PARTS=()
while [ $# -gt 0 ]; do
    case $1 in
        --quick) QUICK=true ;;
        --write) WRITE=true ;;
        --rounds)
            ROUNDS=${2:-}
            [[ $ROUNDS =~ ^[1-9][0-9]?$ ]] || { usage >&2; exit 2; }
            shift
            ;;
        -h | --help) usage; exit 0 ;;
        *)
            [[ " ${ALL_PARTS[*]} " == *" $1 "* ]] || { usage >&2; exit 2; }
            PARTS+=("$1")
            ;;
    esac
    shift
done
COMMAND=${COMMAND% }
[ "${#PARTS[@]}" -gt 0 ] || PARTS=("${ALL_PARTS[@]}")

# How much of everything; read by the parts.
# shellcheck disable=SC2034
{
    CORES=$(nproc)
    WRK_THREADS=$(((CORES + 1) / 2))
    TICKS=$(getconf CLK_TCK)
    if $QUICK; then
        ROUNDS=1 FEW_ROUNDS=1 HIT_SECONDS=1 MANY=1000 ZIP_MEGABYTES=400 SLOW_SECONDS=3 STARTS=3
        MISS_MODULES='zip1 zip20 source20' GROWTH_SIZES=${GROWTH_SIZES:-1000 20000}
    else
        FEW_ROUNDS=$((ROUNDS < 3 ? ROUNDS : 3)) HIT_SECONDS=3 MANY=10000 ZIP_MEGABYTES=8000 SLOW_SECONDS=8 STARTS=15
        MISS_MODULES='zip1 zip20 zip80 zip200 source20 source80' GROWTH_SIZES=${GROWTH_SIZES:-1000 100000 1000000}
    fi
}

# shellcheck source=lib.sh
. "$HERE/lib.sh"
for part in "${PARTS[@]}"; do
    # shellcheck source=/dev/null
    . "$HERE/parts/$part.sh"
done

# Where nginx is on Debian, for users without rights.
PATH=$PATH:/usr/sbin
[ "$(uname -s)" = Linux ] || fail "CPU time and memory are read from /proc: Linux only"
need nginx "apt-get install nginx-light (Debian; it need not run as a service)"
need wrk "apt-get install wrk (Debian)"
[[ " ${PARTS[*]} " != *" http2 "* && " ${PARTS[*]} " != *" tls "* ]] || need h2load "apt-get install nghttp2-client (Debian)"
need curl "apt-get install curl (Debian)"
need pgrep "apt-get install procps (Debian)"
ulimit -n "$(ulimit -Hn)"
# Each worker of nginx keeps the files of its cache open, beside up to 4,096 connections.
FILES=$(ulimit -n)
[ "$FILES" != unlimited ] && [ "$FILES" -lt 100000 ] || FILES=100000
[ "$FILES" -ge $((4500 + MANY)) ] || fail "$((4500 + MANY)) open files are needed; the limit (ulimit -Hn) is $FILES"
# Everything here is on the loopback address, and set on the command line.
for name in $(compgen -e); do
    case ${name,,} in
        larder_* | http_proxy | https_proxy | all_proxy) unset "$name" ;;
    esac
done
# Lines for machines, as nginx writes them here.
export LARDER_LOG__FORMAT=json

# Programs.
target() {
    (cd "$ROOT" && cargo metadata --format-version 1 --no-deps --locked) |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}
if [ -z "${LARDER:-}" ]; then
    say "building larder (set LARDER to measure another program)"
    (cd "$ROOT" && cargo build --release --locked --bin larder)
    LARDER=$(target)/release/larder
fi
if [ -z "${BENCH_TOOLS:-}" ]; then
    say "building the benchmarks' own tools"
    (cd "$ROOT" && cargo build --release --locked \
        --example emulated-upstream --example bench-client --example fill-store --example keep-files)
    BENCH_TOOLS=$(target)/release/examples
fi
TOOLS=$(cd "$BENCH_TOOLS" && pwd)
LARDER=$(realpath "$LARDER")
VERSION=$("$LARDER" --version) || fail "this does not run: $LARDER"

TEMP=$(mktemp -d "${TMPDIR:-/tmp}/larder-bench.XXXXXX")
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$TEMP/values"
: >"$TEMP/table"

# first OF: the version number that a program prints.
first() { sed -n 's/^[^0-9]*\([0-9][0-9.]*[0-9]\).*/\1/p; q' <<<"$1"; }

# report: the table, and on what it was measured.
report() {
    local cpu programs
    [ -s "$TEMP/table" ] || return 0
    cpu=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
    programs="$VERSION beside nginx $(first "$(nginx -v 2>&1)")"
    [ -z "${PEER:-}" ] || programs+=", goproxy $(first "$("$PEER" --version 2>&1)")"
    ! command -v go >/dev/null || programs+=", go $(first "$(go version)")"
    echo
    echo "$programs; $CORES cores of ${cpu:-$(uname -m)}, Linux $(uname -r | cut -d - -f 1)."
    echo "$(date -u +%F), \`$COMMAND\`, rounds: $ROUNDS, load at the beginning: $LOAD."
    echo
    echo "| part | what | Larder | compared with | ratio (range) | target | met |"
    echo "|---|---|---|---|---|---|---|"
    cat "$TEMP/table"
    echo
}

# write_report: puts it into the page about performance, between its two marks.
write_report() {
    local page=$ROOT/docs/performance.md
    report >"$TEMP/report"
    awk -v report="$TEMP/report" '
        /^<!-- the table ends -->$/ { inside = 0 }
        !inside
        /^<!-- the table begins -->$/ {
            inside = 1
            while ((getline line <report) > 0) print line
        }' "$page" >"$TEMP/page"
    cat "$TEMP/page" >"$page"
    say "written to $page"
}

# Also of what is done when something fails half-way.
trap 'report; cleanup' EXIT

LOAD=$(cut -d ' ' -f 1 /proc/loadavg)
if awk -v load="$LOAD" -v cores="$CORES" 'BEGIN { exit !(load > cores / 2) }'; then
    say "this machine is busy (load $LOAD): believe ratios only, and those the less the wider their range"
fi
for part in "${PARTS[@]}"; do
    "part_$part"
done
! $WRITE || write_report
