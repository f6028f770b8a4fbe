# Hits, and other misses, while many fetches hang at the upstream. Sourced by run.sh.
# shellcheck shell=bash

# hung_hits CASE WHOSE URL: hits, recorded.
hung_hits() {
    hit "$3/bench.example/hot/@v/v1.0.0.info"
    record "$1-p50" "$2" "$(number p50_ms "$TEMP/wrk")"
    record "$1-p99" "$2" "$(number p99_ms "$TEMP/wrk")"
    record "$1-rate" "$2" "$(calc "$(number requests "$TEMP/wrk") / $(number seconds "$TEMP/wrk")")"
}

# hung_misses CASE WHOSE URL: two misses, recorded.
hung_misses() {
    get_all --within 60s "$3/bench.example/other/@v/v1.0.0.mod"
    record "$1-mod" "$2" "$(number total_ms_max)"
    get_all --within 60s "$3/bench.example/zip1/@v/v1.0.0.zip"
    record "$1-zip" "$2" "$(number total_ms_max)"
}

# hung_server DIR PLACES: a Larder that has the hot file ready.
hung_server() {
    rm -rf "$1"
    # As many places at the upstream as it takes for 300 zips to hang at once.
    LARDER_UPSTREAM__CONCURRENCY=$2 start_larder "$1"
    get_all "$LARDER_URL/bench.example/hot/@v/v1.0.0.info"
    hit "$LARDER_URL/bench.example/hot/@v/v1.0.0.info"
}

# hung_round CASE COUNT PLACES ROUND: a quiet server and one with hung fetches, in turns.
hung_round() {
    local case=$1 round=$4 quiet quiet_pid reader whose
    # New servers each time: fetches that hang for long open the breaker, and then none hangs any more.
    hung_server "$TEMP/hung-quiet" "$3"
    quiet=$LARDER_URL quiet_pid=$LARDER_PID
    hung_server "$TEMP/hung" "$3"
    "$TOOLS/bench-client" get --readers "$2" --paths "$TEMP/hanging-$case" --within 60s "$LARDER_URL/" \
        >"$TEMP/hung.out" 2>&1 &
    reader=$!
    STARTED+=("$reader")
    for _ in $(seq 50); do
        [ "$(upstream_count hanging)" -lt "$2" ] || break
        sleep 0.1
    done
    record "$case-waiting" larder "$(upstream_count hanging)"
    # There and back, so that neither is always the first; all of it before the fetches time out after 20 s.
    # shellcheck disable=SC2046
    for whose in $(in_turn "$round" larder quiet) $(in_turn $((round + 1)) larder quiet); do
        case $whose in
            larder) hung_hits "$case" larder "$LARDER_URL" ;;
            quiet) hung_hits "$case" quiet "$quiet" ;;
        esac
    done
    hung_misses "$case" quiet "$quiet"
    hung_misses "$case" larder "$LARDER_URL"
    record "$case-waiting-after" larder "$(upstream_count hanging)"
    stop "$reader" "$LARDER_PID" "$quiet_pid"
}

part_hung() {
    local round index
    start_upstream --hang /hanging --latency 20ms
    for index in $(seq 30); do echo "bench.example/hanging/@v/v1.0.$index.zip"; done >"$TEMP/hanging-hung30"
    for index in $(seq 300); do echo "bench.example/hanging$index/@v/v1.0.0.zip"; done >"$TEMP/hanging-hung300"
    for round in $(seq "$ROUNDS"); do
        say "hung: round $round of $ROUNDS"
        hung_round hung30 30 64 "$round"
        hung_round hung300 300 512 "$round"
    done
    stop "$UPSTREAM_PID"
    rm -rf "$TEMP/hung" "$TEMP/hung-quiet"
    hung_rows hung30 "30 fetches of one module" 1.15
    hung_rows hung300 "300 fetches of as many modules" 1.25
}

# hung_rows CASE WHAT TARGET: TARGET is for p99.
hung_rows() {
    row hung "hits while $2 hang: p50 ms" "$1-p50" quiet
    row hung "hits while $2 hang: p99 ms" "$1-p99" quiet "$3"
    row hung "hits while $2 hang: requests per second" "$1-rate" quiet '>=0.9'
    row hung "a missed .mod of another module meanwhile: ms" "$1-mod" quiet
    row hung "a missed 1 MB zip of another module meanwhile: ms" "$1-zip" quiet
    row_alone hung "requests that hang at the upstream, at the beginning" "$1-waiting"
    row_alone hung "requests that hang at the upstream, at the end" "$1-waiting-after"
}
