# Hits of small files by HTTP/2 without TLS (prior knowledge): Larder beside nginx, which serves Larder's own files.
# Sourced by run.sh.
# shellcheck shell=bash

# Cases: name, path, title.
http2_cases() {
    cat <<'CASES'
info bench.example/hot/@v/v1.0.0.info .info (150 B), one
mod bench.example/hot/@v/v1.0.0.mod .mod (4 KiB), one
CASES
}

# http2_one CASE WHOSE PID URL: one run of 16 connections with 32 requests at a time each, recorded.
http2_one() {
    local case=$1 whose=$2 pid=$3 url=$4 before requests
    before=$(cpu_ms "$pid")
    h2load --threads "$WRK_THREADS" --clients 16 --max-concurrent-streams 32 --duration "$HIT_SECONDS" \
        "$url" >"$TEMP/h2load" || fail "h2load: $(cat "$TEMP/h2load")"
    grep -q ' 0 failed, 0 errored, 0 timeout' "$TEMP/h2load" || fail "h2load met errors at $url: $(cat "$TEMP/h2load")"
    requests=$(sed -n 's/^status codes: \([0-9]*\) 2xx, 0 3xx, 0 4xx, 0 5xx$/\1/p' "$TEMP/h2load")
    [ "${requests:-0}" -gt 0 ] || fail "h2load had other answers than 200 at $url: $(cat "$TEMP/h2load")"
    record "http2-cpu-$case" "$whose" "$(calc "($(cpu_ms "$pid") - $before) * 1000 / $requests")"
    record "http2-rate-$case" "$whose" "$(calc "$requests / $HIT_SECONDS")"
    case $whose in
        larder) : >"$LARDER_LOG" ;;
        nginx) : >"$NGINX_LOG" ;;
    esac
}

part_http2() {
    local round whose case path title
    start_upstream
    start_larder "$TEMP/http2"
    for path in v1.0.0.info v1.0.0.mod; do
        get_all "$LARDER_URL/bench.example/hot/@v/$path"
    done
    # Files are published beside the answer.
    sleep 1
    start_nginx "$TEMP/http2/modules" small
    for round in $(seq 0 "$ROUNDS"); do
        say "http2: round $round of $ROUNDS$([ "$round" -gt 0 ] || echo ' (to warm up, not counted)')"
        while read -r case path title; do
            for whose in $(in_turn "$round" larder nginx); do
                [ "$round" -gt 0 ] || case=warm
                case $whose in
                    larder) http2_one "$case" larder "$LARDER_PID" "$LARDER_URL/$path" ;;
                    nginx) http2_one "$case" nginx "$NGINX_PID" "$NGINX_H2_URL/$path" ;;
                esac
            done
        done < <(http2_cases)
    done
    stop "$LARDER_PID" "$NGINX_PID" "$UPSTREAM_PID"
    rm -rf "$TEMP/http2"
    while read -r case path title; do
        row http2 "$title: CPU µs per request" "http2-cpu-$case" nginx
        row http2 "$title: requests per second" "http2-rate-$case" nginx
    done < <(http2_cases)
}
