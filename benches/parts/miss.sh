# Misses of zips from an upstream with 20 ms per request and 50 MB/s: first byte, total, a herd. Sourced by run.sh.
# shellcheck shell=bash

part_miss() {
    local round module
    start_upstream --latency 20ms --rate 50MB/s
    start_larder "$TEMP/miss"
    # So that its connection to the upstream is open, as it is in real life.
    get_all "$LARDER_URL/bench.example/first/@v/v1.0.0.mod"
    for round in $(seq "$ROUNDS"); do
        for module in $MISS_MODULES; do
            say "miss: $module, round $round of $ROUNDS"
            get_all "$UPSTREAM/bench.example/$module/@v/v1.$round.0.zip"
            record "miss-total-$module" plain "$(number total_ms_max)"
            record "miss-first-$module" plain "$(number first_ms_max)"
            # Every round asks for a version of its own.
            get_all "$LARDER_URL/bench.example/$module/@v/v1.$round.0.zip"
            record "miss-total-$module" larder "$(number total_ms_max)"
            record "miss-first-$module" larder "$(number first_ms_max)"
        done
    done
    for round in $(seq "$FEW_ROUNDS"); do
        say "miss: 100 clients on one 20 MB zip, round $round of $FEW_ROUNDS"
        get_all --check "$LARDER_URL/bench.example/zip20/@v/v1.$round.1.zip"
        record miss-herd single "$(number total_ms_max)"
        upstream_reset
        get_all --check --readers 100 "$LARDER_URL/bench.example/zip20/@v/v1.$round.2.zip"
        record miss-herd larder "$(number total_ms_max)"
        record miss-herd-bytes larder "$(calc "$(upstream_count zip_bytes) / 20000000")"
    done
    stop "$LARDER_PID" "$UPSTREAM_PID"
    rm -rf "$TEMP/miss"

    for module in $MISS_MODULES; do
        paste "$TEMP/values/miss-first-$module.larder" "$TEMP/values/miss-first-$module.plain" |
            awk '{ print $1 - $2 }' >"$TEMP/values/miss-later-$module.larder"
        row_alone miss "$module.zip: first byte later than the upstream's, ms" "miss-later-$module" 3 ms
        row miss "$module.zip: total ms" "miss-total-$module" plain 1.03
    done
    row miss "100 clients on one 20 MB zip: slowest ms" miss-herd single
    row_alone miss "100 clients on one 20 MB zip: upstream bytes, × the file" miss-herd-bytes 1.001 ×
}
