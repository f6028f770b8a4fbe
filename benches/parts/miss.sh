# Misses of zips from an upstream with 20 ms per request and 50 MB/s: first byte, total; a herd on one zip from an
# upstream with 20 MB/s. Sourced by run.sh.
# shellcheck shell=bash

part_miss() {
    local round module whose
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
    stop "$LARDER_PID" "$UPSTREAM_PID"

    start_upstream --latency 20ms --rate 20MB/s
    start_larder "$TEMP/miss-herd"
    get_all "$LARDER_URL/bench.example/first/@v/v1.0.0.mod"
    for round in $(seq "$ROUNDS"); do
        say "miss: 100 clients on one 20 MB zip, round $round of $ROUNDS"
        # The lone client goes first in one round, the herd in the next.
        for whose in $(in_turn "$round" single larder); do
            upstream_reset
            if [ "$whose" = single ]; then
                get_all --check "$LARDER_URL/bench.example/zip20/@v/v1.$round.1.zip"
            else
                get_all --check --readers 100 "$LARDER_URL/bench.example/zip20/@v/v1.$round.2.zip"
                record miss-herd-bytes larder "$(calc "$(upstream_count zip_bytes) / 20000000")"
            fi
            record miss-herd "$whose" "$(number total_ms_max)"
        done
    done
    stop "$LARDER_PID" "$UPSTREAM_PID"
    rm -rf "$TEMP/miss" "$TEMP/miss-herd"

    for module in $MISS_MODULES; do
        paste "$TEMP/values/miss-first-$module.larder" "$TEMP/values/miss-first-$module.plain" |
            awk '{ print $1 - $2 }' >"$TEMP/values/miss-later-$module.larder"
        row_alone miss "$module.zip: first byte later than the upstream's, ms" "miss-later-$module" 3 ms
        row miss "$module.zip: total ms" "miss-total-$module" plain 1.03
    done
    row miss "100 clients on one 20 MB zip: slowest ms" miss-herd single 1.1
    row_alone miss "100 clients on one 20 MB zip: upstream bytes, × the file" miss-herd-bytes 1.00 ×
}
