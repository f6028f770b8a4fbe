# Hits, and other misses, while 30 fetches of one module hang at the upstream. Sourced by run.sh.
# shellcheck shell=bash

# hung_measure WHOSE NUMBER: hits and two misses, recorded. NUMBER is new each time.
hung_measure() {
    hit "$LARDER_URL/bench.example/hot/@v/v1.0.0.info"
    record hung-p50 "$1" "$(number p50_ms "$TEMP/wrk")"
    record hung-p99 "$1" "$(number p99_ms "$TEMP/wrk")"
    record hung-rate "$1" "$(calc "$(number requests "$TEMP/wrk") / $(number seconds "$TEMP/wrk")")"
    get_all --within 60s "$LARDER_URL/bench.example/other/@v/v1.$2.0.mod"
    record hung-mod "$1" "$(number total_ms_max)"
    get_all --within 60s "$LARDER_URL/bench.example/zip1/@v/v1.$2.0.zip"
    record hung-zip "$1" "$(number total_ms_max)"
}

part_hung() {
    local round index reader
    start_upstream --hang /hanging/ --latency 20ms
    for index in $(seq 30); do echo "bench.example/hanging/@v/v1.0.$index.zip"; done >"$TEMP/hanging"
    for round in $(seq "$ROUNDS"); do
        say "hung: round $round of $ROUNDS"
        # A new server each time: fetches that hang for long open its breaker, and then none hangs any more.
        rm -rf "$TEMP/hung"
        start_larder "$TEMP/hung"
        get_all "$LARDER_URL/bench.example/hot/@v/v1.0.0.info"
        hit "$LARDER_URL/bench.example/hot/@v/v1.0.0.info"
        hung_measure quiet 1
        "$TOOLS/bench-client" get --readers 30 --paths "$TEMP/hanging" --within 60s "$LARDER_URL/" >"$TEMP/hung.out" 2>&1 &
        reader=$!
        STARTED+=("$reader")
        sleep 0.5
        record hung-waiting larder "$(upstream_count hanging)"
        hung_measure larder 2
        record hung-waiting-after larder "$(upstream_count hanging)"
        stop "$reader" "$LARDER_PID"
    done
    stop "$UPSTREAM_PID"
    rm -rf "$TEMP/hung"
    row hung "hits while 30 fetches hang: p50 ms" hung-p50 quiet 1.1
    row hung "hits while 30 fetches hang: p99 ms" hung-p99 quiet
    row hung "hits while 30 fetches hang: requests per second" hung-rate quiet
    row hung "a missed .mod of another module: ms" hung-mod quiet
    row hung "a missed 1 MB zip of another module: ms" hung-zip quiet
    row_alone hung "requests that hang at the upstream, at the beginning" hung-waiting
    row_alone hung "requests that hang at the upstream, at the end" hung-waiting-after
}
