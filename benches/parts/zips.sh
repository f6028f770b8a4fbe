# Hits of zips: CPU per GB, and memory with slow readers, beside nginx with sendfile and goproxy. Sourced by run.sh.
# shellcheck shell=bash

# zips_one CASE WHOSE PID URL READERS REQUESTS: one run, recorded. REQUESTS per reader.
zips_one() {
    local case=$1 whose=$2 pid=$3 url=$4 before
    before=$(cpu_ms "$pid")
    get_all --readers "$5" --requests "$6" "$url"
    record "zips-cpu-$case" "$whose" "$(calc "($(cpu_ms "$pid") - $before) * 1e9 / $(number bytes)")"
    record "zips-rate-$case" "$whose" "$(calc "$(number bytes) / 1e6 / $(number seconds)")"
}

# zips_slow WHOSE PID URL: growth of resident memory while 64 readers take 1 MB/s each of one 200 MB file.
zips_slow() {
    local whose=$1 pid=$2 url=$3 before reader
    # What the first requests bring into memory (code, mostly) is no growth.
    get_all --readers 4 --requests 2 "$url"
    sleep 0.5
    before=$(rss_kb "$pid")
    "$TOOLS/bench-client" get --readers 64 --rate 1000000 --within "${SLOW_SECONDS}s" "$url" >"$TEMP/slow" 2>&1 &
    reader=$!
    STARTED+=("$reader")
    record zips-slow "$whose" "$(calc "($(peak_rss_kb "$pid" "$reader") - $before) / 1024")"
    wait "$reader"
    [ "$(number broken "$TEMP/slow")" -eq 0 ] || fail "slow readers were cut off: $(cat "$TEMP/slow")"
}

part_zips() {
    local round whose size readers requests path pid url case target servers='larder nginx'
    say "zips: keeping 1, 20 and 200 MB"
    start_upstream
    start_larder "$TEMP/zips"
    for size in 1 20 200; do
        get_all "$LARDER_URL/bench.example/zip$size/@v/v1.0.0.zip"
    done
    sleep 2
    start_nginx "$TEMP/zips/modules" sendfile
    same_bytes bench.example/zip20/@v/v1.0.0.zip "$LARDER_URL" "$NGINX_URL"
    if peer_ready; then
        servers+=' goproxy'
        start_peer "$TEMP/zips-peer"
        for size in 1 20 200; do
            get_all "$PEER_URL/bench.example/zip$size/@v/v1.0.0.zip"
        done
    fi

    for round in $(seq 0 "$ROUNDS"); do
        say "zips: round $round of $ROUNDS$([ "$round" -gt 0 ] || echo ' (to warm up, not counted)')"
        for size in 1 20 200; do
            for readers in 1 16; do
                requests=$((ZIP_MEGABYTES / size / readers))
                [ "$requests" -gt 0 ] || requests=1
                case=$size-$readers
                if [ "$round" -eq 0 ]; then requests=1 case=warm; fi
                path=bench.example/zip$size/@v/v1.0.0.zip
                # shellcheck disable=SC2086
                for whose in $(in_turn "$round" $servers); do
                    case $whose in
                        larder) pid=$LARDER_PID url=$LARDER_URL ;;
                        nginx) pid=$NGINX_PID url=$NGINX_URL ;;
                        goproxy) pid=$PEER_PID url=$PEER_URL ;;
                    esac
                    zips_one "$case" "$whose" "$pid" "$url/$path" "$readers" "$requests"
                done
            done
        done
    done
    stop "$LARDER_PID" "$NGINX_PID"
    [[ $servers != *goproxy ]] || stop "$PEER_PID"
    rm -rf "$TEMP/zips-peer"

    path=bench.example/zip200/@v/v1.0.0.zip
    for round in $(seq "$FEW_ROUNDS"); do
        say "zips: 64 slow readers, round $round of $FEW_ROUNDS"
        start_larder "$TEMP/zips"
        zips_slow larder "$LARDER_PID" "$LARDER_URL/$path"
        stop "$LARDER_PID"
        start_nginx "$TEMP/zips/modules" sendfile
        zips_slow nginx "$NGINX_PID" "$NGINX_URL/$path"
        stop "$NGINX_PID"
    done
    stop "$UPSTREAM_PID"
    rm -rf "$TEMP/zips"

    for size in 1 20 200; do
        [ "$size" -eq 1 ] && target=1.3 || target=1.1
        for readers in 1 16; do
            case=$size-$readers
            row zips "$size MB, $readers at a time: CPU ms per GB" "zips-cpu-$case" nginx "$target"
            row zips "$size MB, $readers at a time: MB/s" "zips-rate-$case" nginx
            [[ $servers == *goproxy ]] || continue
            row zips "$size MB, $readers at a time: CPU ms per GB" "zips-cpu-$case" goproxy
            row zips "$size MB, $readers at a time: MB/s" "zips-rate-$case" goproxy
        done
    done
    row_alone zips "64 slow readers of one 200 MB zip: memory growth, MB" zips-slow 8 MB
    row zips "the same beside nginx" zips-slow nginx
}
