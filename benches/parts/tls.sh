# Hits over TLS, by HTTP/1.1 and HTTP/2: Larder beside nginx, which serves Larder's own files with the same certificate.
# Sourced by run.sh.
# shellcheck shell=bash

# Cases: name, path, title, target.
tls_cases() {
    cat <<'CASES'
info bench.example/hot/@v/v1.0.0.info .info (150 B), one
mod bench.example/hot/@v/v1.0.0.mod .mod (4 KiB), one
zip1 bench.example/zip1/@v/v1.0.0.zip zip of 1 MB
zip20 bench.example/zip20/@v/v1.0.0.zip zip of 20 MB
CASES
}

# tls_one CASE PROTOCOL WHOSE PID URL: one run, recorded. Small files for a while by 16 connections, zips by 4.
tls_one() {
    local case=$1 protocol=$2 whose=$3 pid=$4 url=$5 before requests how bytes
    case $case in
        zip1 | warm-zip1) how="--requests $ZIP_MEGABYTES --clients 4" ;;
        zip20 | warm-zip20) how="--requests $((ZIP_MEGABYTES / 20 + 4)) --clients 4" ;;
        *) how="--duration $HIT_SECONDS --clients 16" ;;
    esac
    case $protocol in
        h1) how+=' --h1' ;;
        h2) how+=' --max-concurrent-streams 32' ;;
    esac
    before=$(cpu_ms "$pid")
    # shellcheck disable=SC2086
    h2load --threads "$WRK_THREADS" $how "$url" >"$TEMP/h2load" || fail "h2load: $(cat "$TEMP/h2load")"
    grep -q ' 0 failed, 0 errored, 0 timeout' "$TEMP/h2load" || fail "h2load met errors at $url: $(cat "$TEMP/h2load")"
    requests=$(sed -n 's/^status codes: \([0-9]*\) 2xx, 0 3xx, 0 4xx, 0 5xx$/\1/p' "$TEMP/h2load")
    [ "${requests:-0}" -gt 0 ] || fail "h2load had other answers than 200 at $url: $(cat "$TEMP/h2load")"
    case $case in
        zip*)
            bytes=$(sed -n 's/^traffic: .*, [^,]* (\([0-9]*\)) data$/\1/p' "$TEMP/h2load")
            record "tls-$protocol-$case" "$whose" "$(calc "($(cpu_ms "$pid") - $before) * 1e9 / $bytes")"
            ;;
        *) record "tls-$protocol-$case" "$whose" "$(calc "($(cpu_ms "$pid") - $before) * 1000 / $requests")" ;;
    esac
    case $whose in
        larder) : >"$LARDER_LOG" ;;
        nginx) : >"$NGINX_LOG" ;;
    esac
}

part_tls() {
    local round whose case protocol path title name
    say "tls: keeping the files"
    start_upstream
    start_larder "$TEMP/tls"
    while read -r case path title; do
        get_all "$LARDER_URL/$path"
    done < <(tls_cases)
    # Files are published beside the answer.
    sleep 2
    stop "$LARDER_PID"
    LARDER_TLS__CERT_FILE=$TLS_CERTIFICATE LARDER_TLS__KEY_FILE=$TLS_KEY start_larder "$TEMP/tls"
    start_nginx "$TEMP/tls/modules" small
    for round in $(seq 0 "$ROUNDS"); do
        say "tls: round $round of $ROUNDS$([ "$round" -gt 0 ] || echo ' (to warm up, not counted)')"
        while read -r case path title; do
            for protocol in h1 h2; do
                name=$case
                [ "$round" -gt 0 ] || name=warm-$case
                for whose in $(in_turn "$round" larder nginx); do
                    case $whose in
                        larder) tls_one "$name" "$protocol" larder "$LARDER_PID" "$LARDER_URL/$path" ;;
                        nginx) tls_one "$name" "$protocol" nginx "$NGINX_PID" "$NGINX_TLS_URL/$path" ;;
                    esac
                done
            done
        done < <(tls_cases)
    done
    stop "$LARDER_PID" "$NGINX_PID" "$UPSTREAM_PID"
    rm -rf "$TEMP/tls"
    while read -r case path title; do
        for protocol in h1 h2; do
            name="HTTP/1.1"
            [ "$protocol" = h1 ] || name="HTTP/2"
            case $case in
                zip*) row tls "$title, $name: CPU ms per GB" "tls-$protocol-$case" nginx 1.1 ;;
                *) row tls "$title, $name: CPU µs per request" "tls-$protocol-$case" nginx 1.3 ;;
            esac
        done
    done < <(tls_cases)
}
