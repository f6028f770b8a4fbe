# Memory without work, and per idle connection. Sourced by run.sh.
# shellcheck shell=bash

# idle_connections WHOSE PID URL: resident memory per connection that waits for its next request. KiB.
idle_connections() {
    local whose=$1 pid=$2 url=$3 before holder
    before=$(rss_kb "$pid")
    "$TOOLS/bench-client" idle --connections 1000 "$url" >"$TEMP/idle.out" 2>"$TEMP/idle.err" &
    holder=$!
    STARTED+=("$holder")
    for _ in $(seq 400); do
        [ -z "$(number open "$TEMP/idle.out")" ] || break
        alive "$holder" || fail "idle connections: $(cat "$TEMP/idle.err")"
        sleep 0.05
    done
    sleep 1
    record idle-connection "$whose" "$(calc "($(rss_kb "$pid") - $before) / 1000")"
    stop "$holder"
}

part_idle() {
    local round path=bench.example/hot/@v/v1.0.0.info
    start_upstream
    for round in $(seq "$FEW_ROUNDS"); do
        say "idle: round $round of $FEW_ROUNDS"
        rm -rf "$TEMP/idle"
        start_larder "$TEMP/idle"
        sleep 2
        record idle-rss larder "$(calc "$(rss_kb "$LARDER_PID") / 1024")"
        get_all "$LARDER_URL/$path"
        sleep 1
        start_nginx "$TEMP/idle/modules" small
        record idle-rss nginx "$(calc "$(rss_kb "$NGINX_PID") / 1024")"
        get_all "$NGINX_URL/$path"
        idle_connections larder "$LARDER_PID" "$LARDER_URL/$path"
        idle_connections nginx "$NGINX_PID" "$NGINX_URL/$path"
        stop "$LARDER_PID" "$NGINX_PID"
    done
    stop "$UPSTREAM_PID"
    rm -rf "$TEMP/idle"
    row_alone idle "resident memory after the start, MB" idle-rss 15 MB
    row_alone idle "resident memory per idle connection (of 1,000), KiB" idle-connection 30 KiB
    row idle "the same beside nginx" idle-connection nginx
    row idle "resident memory after the start, MB" idle-rss nginx
}
