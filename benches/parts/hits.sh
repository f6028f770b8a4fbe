# Hits of small files: Larder beside nginx, which serves Larder's own files, and beside goproxy. Sourced by run.sh.
# shellcheck shell=bash

# Cases: name, path, title. "many" asks for each of the paths in turn.
hits_cases() {
    cat <<'CASES'
info-hot bench.example/hot/@v/v1.0.0.info .info (150 B), one
info-many many-info .info, MANY of them
mod-hot bench.example/hot/@v/v1.0.0.mod .mod (4 KiB), one
mod-many many-mod .mod, MANY of them
list-hot bench.example/hot/@v/list list, one
CASES
}

# hits_one CASE WHOSE PID URL PATH: one run, recorded.
hits_one() {
    local case=$1 whose=$2 pid=$3 url=$4 path=$5 before requests asked
    case $path in
        # Neither server's cache has room for the files of all cases; this one's are to be in it.
        many-*)
            asked=("$url/" "$TEMP/$path")
            HIT_SECONDS=1 hit "${asked[@]}"
            ;;
        *) asked=("$url/$path") ;;
    esac
    [ "$whose" = nginx ] || : >"$LARDER_LOG"
    before=$(cpu_ms "$pid")
    hit "${asked[@]}"
    requests=$(number requests "$TEMP/wrk")
    record "hits-cpu-$case" "$whose" "$(calc "($(cpu_ms "$pid") - $before) * 1000 / $requests")"
    record "hits-rate-$case" "$whose" "$(calc "$requests / $(number seconds "$TEMP/wrk")")"
    record "hits-p50-$case" "$whose" "$(number p50_ms "$TEMP/wrk")"
    record "hits-p99-$case" "$whose" "$(number p99_ms "$TEMP/wrk")"
    case $whose in
        larder) ;;
        nginx) : >"$NGINX_LOG" && return ;;
        *) return ;;
    esac
    # Access lines are part of the price; those of the last milliseconds may still be on their way.
    sleep 0.3
    record hits-lines larder "$(calc "$(grep -c '/@v/' "$LARDER_LOG") / $requests")"
    : >"$LARDER_LOG"
}

# hits_fill: asks for every file once, and waits until all of them are kept.
hits_fill() {
    local kind index began
    say "hits: keeping $((2 * MANY)) files"
    for kind in info mod; do
        for index in $(seq "$MANY"); do
            printf 'bench.example/many%05d/@v/v1.0.0.%s\n' "$index" "$kind"
        done >"$TEMP/many-$kind"
    done
    cat "$TEMP/many-info" "$TEMP/many-mod" >"$TEMP/many"
    began=$EPOCHREALTIME
    get_all --readers 32 --patient --paths "$TEMP/many" --within 300s "$LARDER_URL/"
    record hits-refused larder "$(number refused)"
    for _ in $(seq 600); do
        [ "$(find "$TEMP/hits/modules" -name 'v1.0.0.*' | wc -l)" -lt $((2 * MANY)) ] || break
        sleep 0.1
    done
    record hits-fill larder "$(calc "$EPOCHREALTIME - $began")"
    for kind in v1.0.0.info v1.0.0.mod list; do
        get_all "$LARDER_URL/bench.example/hot/@v/$kind"
    done
    # Files are published beside the answer.
    sleep 1
}

part_hits() {
    local round whose case path title servers='larder nginx'
    start_upstream
    start_larder "$TEMP/hits"
    hits_fill
    start_nginx "$TEMP/hits/modules" small
    for path in hot/@v/v1.0.0.info hot/@v/v1.0.0.mod hot/@v/list many00001/@v/v1.0.0.info many00001/@v/v1.0.0.mod; do
        same_bytes "bench.example/$path" "$LARDER_URL" "$NGINX_URL"
    done
    if peer_ready; then
        say "hits: goproxy keeps the same files"
        servers+=' goproxy'
        start_peer "$TEMP/hits-peer"
        get_all --readers 32 --paths "$TEMP/many" --within 300s "$PEER_URL/"
        get_all "$PEER_URL/bench.example/hot/@v/v1.0.0.info"
    fi

    for round in $(seq 0 "$ROUNDS"); do
        say "hits: round $round of $ROUNDS$([ "$round" -gt 0 ] || echo ' (to warm up, not counted)')"
        while read -r case path title; do
            # shellcheck disable=SC2086
            for whose in $(in_turn "$round" $servers); do
                # goproxy asks its upstream for a list each time.
                [[ $whose != goproxy || $path != */list ]] || continue
                [ "$round" -gt 0 ] || case=warm
                case $whose in
                    larder) hits_one "$case" larder "$LARDER_PID" "$LARDER_URL" "$path" ;;
                    nginx) hits_one "$case" nginx "$NGINX_PID" "$NGINX_URL" "$path" ;;
                    goproxy) hits_one "$case" goproxy "$PEER_PID" "$PEER_URL" "$path" ;;
                esac
            done
        done < <(hits_cases)
    done
    record hits-rss larder "$(calc "$(rss_kb "$LARDER_PID") / 1024")"
    record hits-rss nginx "$(calc "$(rss_kb "$NGINX_PID") / 1024")"
    stop "$LARDER_PID" "$NGINX_PID" "$UPSTREAM_PID"
    if [[ $servers == *goproxy ]]; then
        record hits-rss goproxy "$(calc "$(rss_kb "$PEER_PID") / 1024")"
        stop "$PEER_PID"
    fi
    rm -rf "$TEMP/hits" "$TEMP/hits-peer"

    while read -r case path title; do
        title=${title/MANY/$MANY}
        row hits "$title: CPU µs per request" "hits-cpu-$case" nginx 1.0
        row hits "$title: requests per second" "hits-rate-$case" nginx
        row hits "$title: p50 ms" "hits-p50-$case" nginx
        row hits "$title: p99 ms" "hits-p99-$case" nginx
    done < <(hits_cases)
    while read -r case path title; do
        [ -f "$TEMP/values/hits-cpu-$case.goproxy" ] || continue
        title=${title/MANY/$MANY}
        row hits "$title: CPU µs per request" "hits-cpu-$case" goproxy 0.27
        row hits "$title: requests per second" "hits-rate-$case" goproxy '>=2.7'
        row hits "$title: p99 ms" "hits-p99-$case" goproxy
    done < <(hits_cases)
    row hits "resident memory after all that, MB" hits-rss nginx
    [ ! -f "$TEMP/values/hits-rss.goproxy" ] || row hits "resident memory after all that, MB" hits-rss goproxy
    row_alone hits "32 clients miss $((2 * MANY)) small files: seconds until all are kept" hits-fill
    row_alone hits "32 clients miss $((2 * MANY)) small files: answers 503" hits-refused 0 answers
    row_alone hits "access lines written per request" hits-lines
}
