# What grows with what is kept: start, hits, lists and memory with many kept versions, beside few. Sourced by run.sh.
# shellcheck shell=bash

# Versions of one module, in the stores that have room for them.
GROWTH_LIST=10000

# Files of the largest store that are asked for at random, none of them twice.
GROWTH_FAR=200000

# growth_name VERSIONS: short, for titles.
growth_name() {
    case $1 in
        *000000) echo "${1%000000} M" ;;
        *000) echo "${1%000} k" ;;
        *) echo "$1" ;;
    esac
}

# growth_fill VERSIONS: makes a store of so many.
growth_fill() {
    local count=$1 dir=$TEMP/growth/$1 one=0
    [ "$count" -lt $((2 * GROWTH_LIST)) ] || one=$GROWTH_LIST
    say "growth: filling a store with $(growth_name "$count") versions"
    "$TOOLS/fill-store" --data-dir "$dir" --versions $((count - one)) --of-one "$one" --chosen "$(growth_chosen "$count")" \
        --paths "$dir.far" >"$TEMP/filled" 2>"$TEMP/filled.err" || fail "fill-store: $(cat "$TEMP/filled.err")"
    say "growth: $(tr '\n' ' ' <"$TEMP/filled")"
    [ "$(number versions "$TEMP/filled")" -eq "$count" ] || fail "fill-store filled something else"
    head -n "$MANY" "$dir.far" >"$dir.paths"
    record "growth-index-$count" larder "$(calc "$(du -sB1 "$dir/index" | cut -f 1) / $count")"
}

# growth_chosen VERSIONS: how many files are asked for, one by one or many at random.
growth_chosen() {
    if [ "$1" -ge $((2 * GROWTH_FAR)) ]; then echo "$GROWTH_FAR"; else echo "$MANY"; fi
}

# growth_far VERSIONS: hits at random over all that is kept, beside nginx with the very same files. Each server is new,
# so that neither has any of these files open; the kernel has them in memory for both.
growth_far() {
    local count=$1 round whose
    for round in $(seq 0 "$FEW_ROUNDS"); do
        say "growth: $GROWTH_FAR files at random, round $round of $FEW_ROUNDS"
        for whose in $(in_turn "$round" larder nginx); do
            case $whose in
                larder)
                    growth_start "$count" growth-extra-start
                    rested "$LARDER_PID" >"$TEMP/rested"
                    growth_far_hits "$round" larder "$LARDER_PID" "$LARDER_URL" "$count"
                    stop "$LARDER_PID"
                    ;;
                nginx)
                    start_nginx "$TEMP/growth/$count/modules" small
                    growth_far_hits "$round" nginx "$NGINX_PID" "$NGINX_URL" "$count"
                    stop "$NGINX_PID"
                    ;;
            esac
        done
    done
}

# growth_far_hits ROUND WHOSE PID URL VERSIONS: recorded, but for the first round.
growth_far_hits() {
    local round=$1 whose=$2 pid=$3 url=$4 count=$5 before requests case=far
    [ "$round" -gt 0 ] || case=far-warm
    before=$(cpu_ms "$pid")
    hit "$url/" "$TEMP/growth/$count.far"
    requests=$(number requests "$TEMP/wrk")
    [ "$requests" -le "$GROWTH_FAR" ] || say "growth: some files were asked for twice"
    record "growth-$case-cpu" "$whose" "$(calc "($(cpu_ms "$pid") - $before) * 1000 / $requests")"
    record "growth-$case-rate" "$whose" "$(calc "$requests / $(number seconds "$TEMP/wrk")")"
    record "growth-$case-p99" "$whose" "$(number p99_ms "$TEMP/wrk")"
}

# growth_start VERSIONS CASE: from exec to the first answer, which is a kept file. Sets LARDER_PID and LARDER_URL.
growth_start() {
    local port dir=$TEMP/growth/$1
    port=$(free_port)
    LARDER_URL=http://127.0.0.1:$port
    LARDER_LOG=$dir.log
    "$TOOLS/bench-client" start --url "$LARDER_URL/$(head -n 1 "$dir.paths")" --log "$LARDER_LOG" -- \
        "$LARDER" serve --listen "127.0.0.1:$port" --data-dir "$dir" --upstream "$UPSTREAM" --sumdb off \
        >"$TEMP/started" || fail "no start: $(tail -n 5 "$LARDER_LOG")"
    LARDER_PID=$(number pid "$TEMP/started")
    STARTED+=("$LARDER_PID")
    record "$2-$1" larder "$(number first_answer_ms "$TEMP/started")"
}

# rested PID: waits until a server does nothing on its own any more, and prints the CPU time that it has taken. Seconds.
rested() {
    local before now quiet=0
    now=$(cpu_ms "$1")
    for _ in $(seq 300); do
        before=$now
        sleep 0.2
        now=$(cpu_ms "$1")
        quiet=$((now - before > 10 ? 0 : quiet + 1))
        [ "$quiet" -lt 5 ] || break
    done
    calc "$now / 1000"
}

# growth_hits CASE VERSIONS PID URL PATHS: hits, recorded.
growth_hits() {
    local case=$1 count=$2 pid=$3 url=$4 paths=$5 before requests
    before=$(cpu_ms "$pid")
    hit "$url" "$paths"
    requests=$(number requests "$TEMP/wrk")
    record "growth-cpu-$case-$count" larder "$(calc "($(cpu_ms "$pid") - $before) * 1000 / $requests")"
    record "growth-p50-$case-$count" larder "$(number p50_ms "$TEMP/wrk")"
    record "growth-p99-$case-$count" larder "$(number p99_ms "$TEMP/wrk")"
}

# growth_list VERSIONS PID URL: the list of the module with many versions, asked for by one client and by 64.
growth_list() {
    local url=$3/bench.example/versions$GROWTH_LIST/@v/list
    get_all "$url"
    get_all --requests 200 "$url"
    record "growth-list-one-$1" larder "$(number total_ms_p50)"
    hit "$url"
    record "growth-list-64-$1" larder "$(number p50_ms "$TEMP/wrk")"
}

part_growth() {
    local count round pids=() urls=() index kept
    start_upstream
    mkdir "$TEMP/growth"
    for count in $GROWTH_SIZES; do
        growth_fill "$count"
    done
    # What is filled in a minute is written to disk for minutes: not while something is measured.
    sync
    for count in $GROWTH_SIZES; do
        say "growth: starting with $(growth_name "$count") versions"
        # The first start reads all that was written, and looks through what is kept, as after a change of its rules.
        growth_start "$count" growth-first-start
        rested "$LARDER_PID" >"$TEMP/rested"
        stop "$LARDER_PID"
        for _ in $(seq "$STARTS"); do
            growth_start "$count" growth-start
            stop "$LARDER_PID"
        done
    done

    for count in $GROWTH_SIZES; do
        growth_start "$count" growth-extra-start
        record "growth-work-$count" larder "$(rested "$LARDER_PID")"
        record "growth-rss-$count" larder "$(calc "$(rss_kb "$LARDER_PID") / 1024")"
        pids+=("$LARDER_PID")
        urls+=("$LARDER_URL")
    done
    for round in $(seq 0 "$ROUNDS"); do
        say "growth: hits, round $round of $ROUNDS$([ "$round" -gt 0 ] || echo ' (to warm up, not counted)')"
        index=0
        for count in $GROWTH_SIZES; do
            kept=$TEMP/growth/$count.paths
            [ "$round" -gt 0 ] || count=warm
            growth_hits one "$count" "${pids[index]}" "${urls[index]}/$(head -n 1 "$kept")" ''
            growth_hits many "$count" "${pids[index]}" "${urls[index]}/" "$kept"
            : >"${kept%.paths}.log"
            index=$((index + 1))
        done
    done
    index=0
    for count in $GROWTH_SIZES; do
        if [ "$count" -ge $((2 * GROWTH_LIST)) ]; then
            for _ in $(seq "$FEW_ROUNDS"); do
                growth_list "$count" "${pids[index]}" "${urls[index]}"
            done
        fi
        record "growth-rss-hits-$count" larder "$(calc "$(rss_kb "${pids[index]}") / 1024")"
        index=$((index + 1))
    done
    stop "${pids[@]}"

    # The same files when memory has none of them: each hit reads the index and the file.
    pids=() urls=()
    for count in $GROWTH_SIZES; do
        LARDER_STORE__HOT=0 growth_start "$count" growth-extra-start
        rested "$LARDER_PID" >"$TEMP/rested"
        pids+=("$LARDER_PID")
        urls+=("$LARDER_URL")
    done
    for round in $(seq 0 "$ROUNDS"); do
        say "growth: hits that are not in memory, round $round of $ROUNDS"
        index=0
        for count in $GROWTH_SIZES; do
            kept=$TEMP/growth/$count.paths
            [ "$round" -gt 0 ] || count=warm
            growth_hits disk "$count" "${pids[index]}" "${urls[index]}/" "$kept"
            : >"${kept%.paths}.log"
            index=$((index + 1))
        done
    done
    stop "${pids[@]}"
    [ "$(growth_chosen "${GROWTH_SIZES##* }")" -lt "$GROWTH_FAR" ] || growth_far "${GROWTH_SIZES##* }"
    stop "$UPSTREAM_PID"
    rm -rf "$TEMP/growth"
    growth_rows
}

growth_rows() {
    local count few name case title start cpu p50
    few=${GROWTH_SIZES%% *}
    for count in $GROWTH_SIZES; do
        name="$(growth_name "$count") versions"
        case $count in
            100000) start=50 ;;
            1000000) start=100 ;;
            *) start='' ;;
        esac
        row_alone growth "$name: from exec to the first answer, ms" "growth-start-$count" "$start" ms
        row_alone growth "$name: the same right after filling, ms" "growth-first-start-$count"
        row_alone growth "$name: CPU time of the work after the start, s" "growth-work-$count"
        row_alone growth "$name: index on disk, bytes per version" "growth-index-$count"
        row_alone growth "$name: resident memory at rest, MB" "growth-rss-$count" \
            "$([ "$count" -lt 1000000 ] || echo 64)" MB
        row_alone growth "$name: resident memory after hits, MB" "growth-rss-hits-$count" \
            "$([ "$count" -lt 1000000 ] || echo 64)" MB
        if [ "$count" -ge $((2 * GROWTH_LIST)) ]; then
            title="$name: list of one module's $GROWTH_LIST"
            row_alone growth "$title, one client: p50 ms" "growth-list-one-$count" 5 ms
            row_alone growth "$title, 64 connections: p50 ms" "growth-list-64-$count" 5 ms
        fi
        if [ "$(growth_chosen "$count")" -eq "$GROWTH_FAR" ] && [ -f "$TEMP/values/growth-far-cpu.larder" ]; then
            title="$name: $GROWTH_FAR files at random, none twice"
            row growth "$title: CPU µs per request" growth-far-cpu nginx 1.2
            row growth "$title: requests per second" growth-far-rate nginx
            row growth "$title: p99 ms" growth-far-p99 nginx
        fi
        [ "$count" != "$few" ] || continue
        # Hits from memory and hits from disk.
        [ "$count" -eq 100000 ] && cpu=1.2 p50=1.1 || cpu='' p50=''
        while read -r case title; do
            beside "growth-cpu-$case" "$count" "$few"
            row growth "$name, $title: CPU µs per request" "growth-cpu-$case-$count" "$(growth_name "$few")" "$cpu"
            beside "growth-p50-$case" "$count" "$few"
            row growth "$name, $title: p50 ms" "growth-p50-$case-$count" "$(growth_name "$few")" "$p50"
            beside "growth-p99-$case" "$count" "$few"
            row growth "$name, $title: p99 ms" "growth-p99-$case-$count" "$(growth_name "$few")"
        done <<CASES
one one file
many $MANY files
disk $MANY files, none in memory
CASES
    done
}

# beside CASE VERSIONS FEW: what was recorded with few versions is what those with many are compared with.
beside() {
    cp "$TEMP/values/$1-$3.larder" "$TEMP/values/$1-$2.$(growth_name "$3")"
}
