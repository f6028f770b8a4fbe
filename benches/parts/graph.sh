# `go mod download` of a real graph: with everything local, straight to the emulated upstream, through an empty Larder
# and through a full one, and through goproxy likewise. Sourced by run.sh.
# shellcheck shell=bash

# The bytes that an unpacked module cache and its zips may take. KB.
GRAPH_SPACE=4000000

graph_ready() {
    [ -n "${GRAPH_DATA:-}" ] && [ -n "${GRAPH_MOD:-}" ] || return 1
    [ -d "$GRAPH_DATA" ] || fail "GRAPH_DATA is no folder: $GRAPH_DATA"
    [ -f "$GRAPH_MOD" ] || fail "GRAPH_MOD is no file: $GRAPH_MOD"
}

# graph_download URL CASE WHOSE [GOSUMDB]: one download into an empty module cache, recorded.
graph_download() {
    local cache=$FAST/modcache work=$FAST/main gopath=$FAST/gopath began
    rm -rf "$cache" "$work" "$gopath"
    mkdir -p "$cache" "$work"
    cp "$GRAPH_MOD" "$work/go.mod"
    began=$EPOCHREALTIME
    # Nothing of this user's own settings: the same graph by the same rules everywhere. What the Go command knows of
    # checksum databases is below GOPATH, and must not outlive this database.
    (cd "$work" && env -u GOPRIVATE -u GONOPROXY -u GONOSUMDB -u GOINSECURE -u GOVCS \
        GOENV=off GOWORK=off GOTOOLCHAIN=local GOFLAGS='-modcacherw -mod=mod' \
        GOPROXY="$1" GOSUMDB="${4:-off}" GOMODCACHE="$cache" GOPATH="$gopath" \
        timeout 600 go mod download) >"$TEMP/go.log" 2>&1 || fail "go mod download: $(tail -n 5 "$TEMP/go.log")"
    record "$2" "$3" "$(calc "$EPOCHREALTIME - $began")"
    rm -rf "$cache" "$work" "$gopath"
}

part_graph() {
    local round kind
    if ! graph_ready; then
        say "graph: skipped; it needs GRAPH_DATA and GRAPH_MOD (benches/fetch-graph.sh fills them)"
        line graph "skipped: GRAPH_DATA and GRAPH_MOD are not set" "" "" "" "" ""
        return
    fi
    need go "see https://go.dev/doc/install"
    # In memory if it fits: unpacking to a slow disk would hide what is measured.
    FAST=$(graph_space /dev/shm || graph_space "$TEMP" || fail "$GRAPH_SPACE KB are needed in /dev/shm or $TEMP")
    start_upstream --data "$GRAPH_DATA" --latency 20ms --rate 50MB/s
    for round in $(seq "$FEW_ROUNDS"); do
        say "graph: round $round of $FEW_ROUNDS: from local files"
        graph_download "file://$(realpath "$GRAPH_DATA")" graph-cold local
        say "graph: round $round of $FEW_ROUNDS: straight"
        upstream_reset
        graph_download "$UPSTREAM" graph-cold straight
        graph_counts straight
        cp "$TEMP/values/graph-cold.straight" "$TEMP/values/graph-warm.straight"
        say "graph: round $round of $FEW_ROUNDS: through an empty Larder"
        rm -rf "$TEMP/graph"
        start_larder "$TEMP/graph"
        upstream_reset
        graph_download "$LARDER_URL" graph-cold larder
        graph_counts larder
        say "graph: round $round of $FEW_ROUNDS: through a full Larder"
        upstream_reset
        graph_download "$LARDER_URL" graph-warm larder
        record graph-warm-requests larder "$(graph_requests)"
        stop "$LARDER_PID"
        peer_ready || continue
        say "graph: round $round of $FEW_ROUNDS: through an empty goproxy, and a full one"
        rm -rf "$TEMP/graph"
        start_peer "$TEMP/graph"
        graph_download "$PEER_URL" graph-cold goproxy
        graph_download "$PEER_URL" graph-warm goproxy
        stop "$PEER_PID"
    done
    stop "$UPSTREAM_PID"
    rm -rf "$TEMP/graph" "$FAST"
    row graph "cold, seconds" graph-cold straight 0.5
    row graph "cold, seconds" graph-cold local 1.2
    row graph "warm, seconds" graph-warm straight 0.30
    if [ -f "$TEMP/values/graph-cold.goproxy" ]; then
        row graph "cold, seconds" graph-cold goproxy
        row graph "warm, seconds" graph-warm goproxy
    fi
    row graph "cold: requests to the upstream" graph-requests straight 2
    for kind in info mod zip; do
        row graph "cold: $kind requests to the upstream" "graph-$kind" straight
    done
    row graph "cold: MB from the upstream" graph-bytes straight 1.10
    row_alone graph "cold: requests that the upstream answers with 404" graph-unknown
    row_alone graph "warm: requests to the upstream" graph-warm-requests
}

# graph_space PARENT: a folder for module caches there, if there is room.
graph_space() {
    local free
    free=$(df -kP "$1" 2>/dev/null | awk 'NR == 2 { print $4 }') || return 1
    [ "${free:-0}" -ge "$GRAPH_SPACE" ] && mktemp -d "$1/larder-bench.XXXXXX"
}

graph_requests() {
    local sum=0 kind
    for kind in list latest info mod zip lookup tile other; do
        sum=$((sum + $(upstream_count "${kind}_requests")))
    done
    echo "$sum"
}

# graph_counts WHOSE: what the upstream was asked for.
graph_counts() {
    local kind bytes=0
    for kind in info mod zip; do
        record "graph-$kind" "$1" "$(upstream_count "${kind}_requests")"
        bytes=$((bytes + $(upstream_count "${kind}_bytes")))
    done
    record graph-bytes "$1" "$(calc "$bytes / 1e6")"
    record graph-requests "$1" "$(graph_requests)"
    record graph-unknown "$1" "$(upstream_count not_found)"
}
