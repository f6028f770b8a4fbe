# The same graph with a checksum database: what Larder's own verification costs, and what the clients' costs through it.
# Sourced by run.sh, after graph.sh's functions.
# shellcheck shell=bash

# shellcheck source=graph.sh
. "$HERE/parts/graph.sh"

part_sumdb() {
    local round key
    if ! graph_ready; then
        say "sumdb: skipped; it needs GRAPH_DATA and GRAPH_MOD (benches/fetch-graph.sh fills them)"
        line sumdb "skipped: GRAPH_DATA and GRAPH_MOD are not set" "" "" "" "" ""
        return
    fi
    need go "see https://go.dev/doc/install"
    FAST=$(graph_space /dev/shm || graph_space "$TEMP" || fail "$GRAPH_SPACE KB are needed in /dev/shm or $TEMP")
    start_upstream --data "$GRAPH_DATA" --sumdb "$TEMP/gosumdb" --latency 20ms --rate 50MB/s
    key=$(cat "$TEMP/gosumdb")
    for round in $(seq "$FEW_ROUNDS"); do
        say "sumdb: round $round of $FEW_ROUNDS: straight"
        graph_download "$UPSTREAM" sumdb-cold straight "$key"
        say "sumdb: round $round of $FEW_ROUNDS: through an empty Larder that does not verify"
        rm -rf "$TEMP/graph"
        start_larder "$TEMP/graph"
        graph_download "$LARDER_URL" sumdb-verified off
        stop "$LARDER_PID"
        say "sumdb: round $round of $FEW_ROUNDS: through an empty Larder that verifies"
        rm -rf "$TEMP/graph"
        start_larder "$TEMP/graph" "$key"
        upstream_reset
        graph_download "$LARDER_URL" sumdb-verified larder
        record sumdb-lookups larder "$(upstream_count lookup_requests)"
        record sumdb-tiles larder "$(upstream_count tile_requests)"
        say "sumdb: round $round of $FEW_ROUNDS: through a full Larder, clients without and with the database"
        graph_download "$LARDER_URL" sumdb-client off
        upstream_reset
        graph_download "$LARDER_URL" sumdb-client larder "$key"
        record sumdb-warm-requests larder "$(graph_requests)"
        stop "$LARDER_PID"
        say "sumdb: round $round of $FEW_ROUNDS: through an empty Larder, clients with the database"
        rm -rf "$TEMP/graph"
        start_larder "$TEMP/graph" "$key"
        graph_download "$LARDER_URL" sumdb-cold larder "$key"
        stop "$LARDER_PID"
    done
    stop "$UPSTREAM_PID"
    rm -rf "$TEMP/graph" "$FAST"
    row sumdb "cold, verified by Larder, against unverified, seconds" sumdb-verified off 1.05
    row sumdb "warm, clients with GOSUMDB, against off, seconds" sumdb-client off 1.1
    row sumdb "cold, clients with GOSUMDB, against straight, seconds" sumdb-cold straight 0.5
    row_alone sumdb "cold: look-ups at the upstream" sumdb-lookups
    row_alone sumdb "cold: tiles at the upstream" sumdb-tiles
    row_alone sumdb "warm: requests to the upstream" sumdb-warm-requests
}
