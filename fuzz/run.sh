#!/usr/bin/env bash
# Fuzzing: `fuzz/run.sh SECONDS [NAME...]` builds the targets and runs all, or those named, for so long each, as many at
# once as there are processors. It begins with the committed seeds (fuzz/seeds) and what earlier runs have found (fuzz/corpus), and ends with 1 if
# there was a finding, whose file it names. Needs cargo-fuzz and a C++ compiler, and no other Rust than the crate itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

die() {
    printf '%s\n' "$*" >&2
    exit 2
}
[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || die "usage: $0 SECONDS [NAME...]"
seconds=$1
shift
mapfile -t targets < <(sed -n '/^\[\[bin]]/,$ s/^name = "\(.*\)"/\1/p' Cargo.toml)
if (($# == 0)); then set -- "${targets[@]}"; fi
for name; do
    [[ " ${targets[*]} " == *" $name "* ]] || die "no target $name: there are ${targets[*]}"
done

# Memory of a target, in MiB; its longest input, in bytes; and how long one input may take, in seconds.
memory=1024
longest() {
    case $1 in
        zip | vcs_tar) echo 16384 ;;
        *) echo 4096 ;;
    esac
}
slowest=10

# The same versions as in the crate; cargo adds what only the targets use.
cp ../Cargo.lock Cargo.lock
export RUSTC_BOOTSTRAP=1
one=()
if (($# == 1)); then one=("$1"); fi
cargo fuzz build --fuzz-dir . --target-dir target --sanitizer none --codegen-units 16 "${one[@]}"
binaries=target/$(rustc -vV | sed -n 's/^host: //p')/release

# Runs one target, and leaves its exit code beside its log.
run_one() {
    local name=$1 folder=artifacts/$1
    local log=$folder/log
    local options=(-max_total_time="$seconds" -max_len="$(longest "$name")" -timeout="$slowest"
        -rss_limit_mb="$memory" -artifact_prefix="$folder/" -print_final_stats=1)
    if [[ -f dicts/$name ]]; then options+=(-dict="dicts/$name"); fi
    local status=0
    "$binaries/$name" "${options[@]}" "corpus/$name" "seeds/$name" >"$log" 2>&1 || status=$?
    echo "$status" >"$folder/status"
    local edges runs
    edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    printf '%-9s %6s edges %10s runs\n' "$name" "${edges:-?}" "${runs:-?}"
}

at_once=$(nproc)
for name; do
    mkdir -p "corpus/$name" "artifacts/$name"
    rm -f "artifacts/$name/status"
    while (($(jobs -rp | wc -l) >= at_once)); do wait -n || true; done
    run_one "$name" &
done
wait

findings=()
for name; do
    status=$(cat "artifacts/$name/status" 2>/dev/null || echo "no end")
    if [[ $status != 0 ]]; then
        log=artifacts/$name/log
        tail -n 40 "$log"
        file=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        findings+=("$name: fuzz/${file:-$log}")
    fi
done
if ((${#findings[@]})); then
    printf 'FINDING in %s\n' "${findings[@]}" >&2
    exit 1
fi
