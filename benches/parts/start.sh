# From exec to the first answer, on an empty store. Sourced by run.sh.
# shellcheck shell=bash

part_start() {
    local port pid
    # Nobody listens at that upstream, and nobody is asked.
    say "start: $STARTS times on an empty store"
    for _ in $(seq "$STARTS"); do
        rm -rf "$TEMP/start"
        port=$(free_port)
        "$TOOLS/bench-client" start --url "http://127.0.0.1:$port/healthz" --log "$TEMP/start.log" -- \
            "$LARDER" serve --listen "127.0.0.1:$port" --data-dir "$TEMP/start" --upstream http://127.0.0.1:9 \
            --sumdb off >"$TEMP/started" || fail "no start: $(tail -n 5 "$TEMP/start.log")"
        pid=$(number pid "$TEMP/started")
        STARTED+=("$pid")
        record start larder "$(number first_answer_ms "$TEMP/started")"
        stop "$pid"
    done
    row_alone start "from exec to the first answer, empty store, ms" start 100 ms
}
