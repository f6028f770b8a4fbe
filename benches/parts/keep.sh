# How fast misses of small files are kept: beside a program that writes the same files as durably and does nothing else.
# Sourced by run.sh.
# shellcheck shell=bash

# keep_paths: the files, each .info beside its .mod, as the Go command asks for them.
keep_paths() {
    local index
    for index in $(seq 0 $((MANY - 1))); do
        printf 'bench.example/many%05d/@v/v1.0.0.info\nbench.example/many%05d/@v/v1.0.0.mod\n' "$index" "$index"
    done >"$TEMP/keep-paths"
}

# keep_larder: empty, until all files are in its folder.
keep_larder() {
    local began
    rm -rf "$TEMP/keep"
    start_larder "$TEMP/keep"
    sync
    began=$EPOCHREALTIME
    get_all --readers 64 --patient --paths "$TEMP/keep-paths" --within 300s "$LARDER_URL/"
    for _ in $(seq 3000); do
        [ "$(find "$TEMP/keep/modules" -name 'v1.0.0.*' | wc -l)" -lt $((2 * MANY)) ] || break
        sleep 0.05
    done
    record keep larder "$(calc "2 * $MANY / ($EPOCHREALTIME - $began)")"
    stop "$LARDER_PID"
    rm -rf "$TEMP/keep"
}

# keep_bare: the same number of files, in groups of the size that suits this disk best.
keep_bare() {
    local group best=0 rate
    for group in 64 512; do
        rm -rf "$TEMP/keep-bare"
        sync
        "$TOOLS/keep-files" --dir "$TEMP/keep-bare" --files $((2 * MANY)) --group "$group" >"$TEMP/kept" ||
            fail "keep-files did not end well"
        rate=$(calc "2 * $MANY / $(number seconds "$TEMP/kept")")
        best=$(awk -v a="$best" -v b="$rate" 'BEGIN { print (a > b ? a : b) }')
    done
    record keep bare "$best"
    rm -rf "$TEMP/keep-bare"
}

part_keep() {
    local round whose
    start_upstream
    keep_paths
    for round in $(seq "$FEW_ROUNDS"); do
        say "keep: round $round of $FEW_ROUNDS"
        for whose in $(in_turn "$round" larder bare); do
            "keep_$whose"
        done
    done
    stop "$UPSTREAM_PID"
    row keep "$((2 * MANY)) small files missed and kept durably: files per second" keep bare '>=0.8'
}
