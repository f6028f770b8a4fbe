# Hits of those who show a token, where nothing is served without one and rules say who may have what: beside another
# Larder with the same files that is open to everyone. Sourced by run.sh.
# shellcheck shell=bash

# The rules that do not fit before the one that does.
TOKENS_RULES=50

# Cases: name, path, title.
tokens_cases() {
    cat <<'CASES'
info bench.example/hot/@v/v1.0.0.info .info (150 B), one
mod bench.example/hot/@v/v1.0.0.mod .mod (4 KiB), one
CASES
}

# tokens_one CASE WHOSE PID URL TOKEN: one run, recorded.
tokens_one() {
    local case=$1 whose=$2 pid=$3 url=$4 token=$5 before
    before=$(cpu_ms "$pid")
    BENCH_TOKEN=$token hit "$url"
    record "tokens-cpu-$case" "$whose" \
        "$(calc "($(cpu_ms "$pid") - $before) * 1000 / $(number requests "$TEMP/wrk")")"
}

part_tokens() {
    local round whose case path title name token index config=$TEMP/tokens.toml open_pid open_url open_log
    start_upstream
    say "tokens: keeping the files"
    start_larder "$TEMP/tokens-open"
    while read -r case path title; do
        get_all "$LARDER_URL/$path"
    done < <(tokens_cases)
    # Files are published beside the answer.
    sleep 2
    stop "$LARDER_PID"
    cp -r "$TEMP/tokens-open" "$TEMP/tokens-closed"
    start_larder "$TEMP/tokens-open"
    open_pid=$LARDER_PID open_url=$LARDER_URL open_log=$LARDER_LOG
    {
        printf '[access]\ndefault = "closed"\n'
        for index in $(seq "$TOKENS_RULES"); do
            printf '[[access.rules]]\nwho = ["token:team-%s-*", "group:team-%s"]\nread = ["git.example.com/team-%s/*"]\n' \
                "$index" "$index" "$index"
        done
        printf '[[access.rules]]\nwho = ["token:ci-*"]\nread = ["*"]\nnot = ["git.example.com/secret/*"]\n'
    } >"$config"
    LARDER_CONFIG=$config start_larder "$TEMP/tokens-closed"
    token=$("$LARDER" token new ci-bench --data-dir "$TEMP/tokens-closed" | awk 'END { print $NF }')
    curl -sS --max-time 10 -o "$TEMP/refused" "$LARDER_URL/bench.example/hot/@v/v1.0.0.mod"
    grep -q '^unauthorized' "$TEMP/refused" || fail "it is not closed: $(cat "$TEMP/refused")"
    for round in $(seq 0 "$ROUNDS"); do
        say "tokens: round $round of $ROUNDS$([ "$round" -gt 0 ] || echo ' (to warm up, not counted)')"
        while read -r case path title; do
            for whose in $(in_turn "$round" larder open); do
                name=$case
                [ "$round" -gt 0 ] || name=warm-$case
                case $whose in
                    larder) tokens_one "$name" larder "$LARDER_PID" "$LARDER_URL/$path" "$token" ;;
                    open) tokens_one "$name" open "$open_pid" "$open_url/$path" '' ;;
                esac
                : >"$LARDER_LOG"
                : >"$open_log"
            done
        done < <(tokens_cases)
    done
    stop "$LARDER_PID" "$open_pid" "$UPSTREAM_PID"
    rm -rf "$TEMP/tokens-open" "$TEMP/tokens-closed"
    while read -r case path title; do
        row tokens "$title, with a token: CPU µs per request" "tokens-cpu-$case" open 1.15
    done < <(tokens_cases)
}
