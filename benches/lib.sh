# Helpers of run.sh: servers, their CPU time and memory, medians, the table. Sourced, never run.
# shellcheck shell=bash
# Set here, read elsewhere, and the other way round:
# shellcheck disable=SC2034,SC2153

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "run.sh: $*"
    exit 1
}

# need COMMAND HOW_TO_GET_IT
need() {
    command -v "$1" >/dev/null || fail "$1 is missing: $2"
}

# ---- Processes -----------------------------------------------------------------------------------

# Everything started here, to be ended with the script.
STARTED=()

# stop PID...: ends servers and waits until they are gone (they need not be our children).
stop() {
    local pid waited
    kill "$@" 2>/dev/null || true
    for pid in "$@"; do
        waited=0
        while alive "$pid"; do
            sleep 0.05
            waited=$((waited + 1))
            if [ "$waited" -gt 100 ]; then
                kill -KILL "$pid" 2>/dev/null || true
                break
            fi
        done
        wait "$pid" 2>/dev/null || true
    done
    # Never kill a number that something else may have got meanwhile.
    local kept=()
    for pid in "${STARTED[@]}"; do
        [[ " $* " == *" $pid "* ]] || kept+=("$pid")
    done
    STARTED=("${kept[@]}")
}

# alive PID: runs, and is no zombie.
alive() {
    local state
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || return 1
    [ -n "$state" ] && [ "$state" != Z ]
}

cleanup() {
    trap - EXIT INT TERM HUP
    [ "${#STARTED[@]}" -eq 0 ] || stop "${STARTED[@]}"
    # The Go command writes its cache without write permission if told so by another configuration.
    chmod -R u+w "$TEMP" "${FAST:-$TEMP}" 2>/dev/null || true
    rm -rf "$TEMP" "${FAST:-$TEMP}"
}

# address_in FILE: waits for "listening on URL" in a server's standard output and prints the URL.
address_in() {
    local url
    for _ in $(seq 200); do
        url=$(sed -n 's/^listening on //p' "$1")
        if [ -n "$url" ]; then
            printf '%s\n' "$url"
            return
        fi
        sleep 0.05
    done
    fail "a server did not start: $(cat "$1" "${1%.out}.err" 2>/dev/null | tail -n 5)"
}

# free_port: a port of the loopback address that nobody listens on. For servers that cannot choose one.
free_port() {
    local port
    for _ in $(seq 50); do
        # Below the numbers that outgoing connections get.
        port=$((12000 + RANDOM % 20000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            return
        fi
    done
    fail "no free port found"
}

# start_upstream [OPTION...]: sets UPSTREAM and UPSTREAM_PID.
start_upstream() {
    local out
    out=$(mktemp "$TEMP/upstream.XXXXXX.out")
    "$TOOLS/emulated-upstream" "$@" >"$out" 2>"${out%.out}.err" &
    UPSTREAM_PID=$!
    STARTED+=("$UPSTREAM_PID")
    UPSTREAM=$(address_in "$out")
}

# upstream_count NAME: a number of the upstream's statistics.
upstream_count() {
    curl -sS --max-time 5 "$UPSTREAM/__stats" | sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p"
}

upstream_reset() {
    curl -sS --max-time 5 -o "$TEMP/reset" "$UPSTREAM/__stats?reset"
}

# start_larder DIR [SUMDB]: sets LARDER_URL, LARDER_PID and LARDER_LOG.
start_larder() {
    local out
    out=$(mktemp "$TEMP/larder.XXXXXX.out")
    LARDER_LOG=${out%.out}.err
    "$LARDER" serve --listen 127.0.0.1:0 --data-dir "$1" --upstream "$UPSTREAM" --sumdb "${2:-off}" \
        >"$out" 2>>"$LARDER_LOG" &
    LARDER_PID=$!
    STARTED+=("$LARDER_PID")
    LARDER_URL=$(address_in "$out")
}

# start_nginx ROOT small|sendfile: serves the same folder in the way that suits small or large files best.
# Sets NGINX_URL, NGINX_H2_URL, NGINX_TLS_URL, NGINX_PID (with its workers) and NGINX_LOG.
start_nginx() {
    local root=$1 kind=$2 home port h2_port tls_port tuning user=''
    home=$(mktemp -d "$TEMP/nginx.XXXXXX")
    NGINX_LOG=$home/access.log
    port=$(free_port)
    h2_port=$(free_port)
    tls_port=$(free_port)
    [ "$(id -u)" -ne 0 ] || user='user root;'
    case $kind in
        small) tuning='sendfile off;' ;;
        sendfile) tuning='sendfile on; tcp_nopush on;' ;;
    esac
    cat >"$home/nginx.conf" <<CONF
$user
daemon off;
worker_processes $CORES;
worker_rlimit_nofile $FILES;
pid $home/nginx.pid;
error_log $home/error.log;
events { worker_connections 4096; }
http {
    $tuning
    tcp_nodelay on;
    open_file_cache max=$((FILES - 4500)) inactive=10m;
    open_file_cache_valid 10m;
    open_file_cache_min_uses 1;
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    server_tokens off;
    log_format json escape=json '{"time":"\$time_iso8601","client":"\$remote_addr","method":"\$request_method",'
        '"path":"\$request_uri","status":\$status,"bytes":\$body_bytes_sent,"seconds":\$request_time,'
        '"agent":"\$http_user_agent"}';
    access_log $NGINX_LOG json buffer=64k flush=1s;
    types { application/json info; application/zip zip; }
    default_type text/plain;
    client_body_temp_path $home/body;
    proxy_temp_path $home/proxy;
    fastcgi_temp_path $home/fastcgi;
    uwsgi_temp_path $home/uwsgi;
    scgi_temp_path $home/scgi;
    server {
        listen 127.0.0.1:$port backlog=4096;
        listen 127.0.0.1:$h2_port http2 backlog=4096;
        listen 127.0.0.1:$tls_port ssl http2 backlog=4096;
        ssl_certificate $TLS_CERTIFICATE;
        ssl_certificate_key $TLS_KEY;
        ssl_protocols TLSv1.2 TLSv1.3;
        add_header Cache-Control "public, max-age=31536000, immutable";
        location / { root $root; }
    }
}
CONF
    nginx -e "$home/error.log" -p "$home" -c "$home/nginx.conf" 2>"$home/start.err" &
    NGINX_PID=$!
    STARTED+=("$NGINX_PID")
    NGINX_URL=http://127.0.0.1:$port
    # By HTTP/2, as prior knowledge has it.
    NGINX_H2_URL=http://127.0.0.1:$h2_port
    # HTTP/1.1 or HTTP/2 by ALPN.
    NGINX_TLS_URL=https://127.0.0.1:$tls_port
    for _ in $(seq 100); do
        if curl -s --max-time 1 -o "$TEMP/probe" "$NGINX_URL/"; then
            return
        fi
        alive "$NGINX_PID" || break
        sleep 0.05
    done
    fail "nginx did not start: $(cat "$home/start.err" "$home/error.log")"
}

# peer_ready: sets PEER to the goproxy program, built once; fails if there is none.
peer_ready() {
    local folder=${XDG_CACHE_HOME:-$HOME/.cache}/larder-bench built
    if [ -n "${PEER:-}" ]; then
        [ -x "$PEER" ] || fail "PEER is no program: $PEER"
        return
    fi
    [ -z "${PEER_MISSING:-}" ] || return 1
    # Another version is another file.
    built=$folder/goproxy-$(cksum <"$HERE/peer/go.mod" | cut -d ' ' -f 1)
    if [ ! -x "$built" ]; then
        say "building the goproxy program (set PEER to measure beside another one)"
        mkdir -p "$folder"
        if ! (cd "$HERE/peer" && GOWORK=off GOFLAGS=-mod=readonly go build -trimpath -o "$built" \
            github.com/goproxy/goproxy/cmd/goproxy) >"$TEMP/peer.log" 2>&1; then
            PEER_MISSING=yes
            say "no rows beside goproxy: it cannot be built: $(tail -n 1 "$TEMP/peer.log")"
            line peer "rows beside goproxy are left out: it could not be built" "" "" "" "" ""
            return 1
        fi
    fi
    PEER=$built
}

# start_peer DIR: sets PEER_URL and PEER_PID. It keeps what it fetches in DIR.
start_peer() {
    local port log
    port=$(free_port)
    log=$(mktemp "$TEMP/peer.XXXXXX.err")
    # Its fetches are the Go command's: nothing of this user's own settings.
    env -u GOPRIVATE -u GONOPROXY -u GONOSUMDB -u GOINSECURE -u GOVCS GOENV=off GOPROXY="$UPSTREAM" GOSUMDB=off \
        "$PEER" server --address "127.0.0.1:$port" --cacher-dir "$1" --temp-dir "$TEMP" >"$log" 2>&1 &
    PEER_PID=$!
    STARTED+=("$PEER_PID")
    PEER_URL=http://127.0.0.1:$port
    for _ in $(seq 100); do
        if curl -s --max-time 1 -o "$TEMP/probe" "$PEER_URL/"; then
            return
        fi
        alive "$PEER_PID" || break
        sleep 0.05
    done
    fail "goproxy did not start: $(tail -n 5 "$log")"
}

# family PID: a process and its children.
family() {
    echo "$1"
    pgrep -P "$1" || true
}

# cpu_ms PID: CPU time of a server so far, its workers included.
cpu_ms() {
    local pid ticks=0 line
    for pid in $(family "$1"); do
        line=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
        # Behind the name, which may hold spaces: user and system time are the 12th and 13th field.
        line=$(awk '{ print $12 + $13 }' <<<"${line##*) }")
        ticks=$((ticks + line))
    done
    echo $((ticks * 1000 / TICKS))
}

# rss_kb PID: resident memory of a server, its workers included.
rss_kb() {
    local pid sum=0 kb
    for pid in $(family "$1"); do
        kb=$(sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null) || continue
        sum=$((sum + ${kb:-0}))
    done
    echo "$sum"
}

# peak_rss_kb PID WATCHED: the highest resident memory of a server while the process WATCHED runs.
peak_rss_kb() {
    local peak=0 now
    while alive "$2"; do
        now=$(rss_kb "$1")
        [ "$now" -le "$peak" ] || peak=$now
        sleep 0.1
    done
    echo "$peak"
}

# ---- Clients -------------------------------------------------------------------------------------

# get OPTION... URL: bench-client get; its numbers are read with `number` afterwards.
get() {
    "$TOOLS/bench-client" get "$@" >"$TEMP/get" 2>"$TEMP/get.err" || fail "bench-client: $(cat "$TEMP/get.err")"
}

# get_all OPTION... URL: the same, and every answer must be a whole 200.
get_all() {
    get "$@"
    if [ "$(number ok)" -ne "$(number requests)" ] || [ "$(number broken)" -ne 0 ] ||
        [ "$(number cut_off)" -ne 0 ] || [ "$(number unequal)" -ne 0 ]; then
        fail "not every answer was right ($*): $(tr '\n' ' ' <"$TEMP/get") $(tail -n 3 "$TEMP/get.err")"
    fi
}

# number NAME [FILE]: a number of the last `get`.
number() {
    sed -n "s/^$1=//p" "${2:-$TEMP/get}"
}

# hit URL [PATHS]: wrk for a while with 64 connections; numbers as from `get`, in $TEMP/wrk.
hit() {
    local paths=${2:-}
    BENCH_PATHS=$paths wrk --threads "$WRK_THREADS" --connections 64 --duration "${HIT_SECONDS}s" --timeout 10s \
        --script "$HERE/wrk.lua" "$1" >"$TEMP/wrk" 2>"$TEMP/wrk.err" || fail "wrk: $(cat "$TEMP/wrk.err")"
    [ "$(number errors "$TEMP/wrk")" -eq 0 ] || fail "wrk met errors at $1: $(cat "$TEMP/wrk")"
}

# same_bytes PATH URL URL: both servers must give the same file.
same_bytes() {
    local path=$1 one other
    one=$(curl -sSf --max-time 60 "$2/$path" | cksum)
    other=$(curl -sSf --max-time 60 "$3/$path" | cksum)
    [ "$one" = "$other" ] || fail "/$path is not the same file at $2 and $3"
}

# ---- Numbers -------------------------------------------------------------------------------------

# calc EXPRESSION: arithmetic with fractions.
calc() { awk "BEGIN { printf \"%.4f\n\", $1 }"; }

# record CASE WHOSE VALUE: one round's value.
record() { printf '%s\n' "$3" >>"$TEMP/values/$1.$2"; }

median_of() { sort -n "$1" | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# short NUMBER: with as many digits as mean something.
short() { awk -v v="$1" 'BEGIN { a = v < 0 ? -v : v; printf (a >= 100 ? "%.0f" : a >= 10 ? "%.1f" : "%.2f"), v }'; }

# with_range FILE: "median (lowest–highest)", the range only if there are several.
with_range() {
    local text
    text=$(short "$(median_of "$1")")
    if [ "$(wc -l <"$1")" -gt 1 ]; then
        text+=" ($(short "$(sort -n "$1" | head -n 1)")–$(short "$(sort -n "$1" | tail -n 1)"))"
    fi
    printf '%s' "$text"
}

# verdict VALUE TARGET: whether a median is within its target, "1.1" at the most or ">=2.7"; nothing without one.
verdict() {
    [ -n "$2" ] || return 0
    awk -v value="$1" -v target="$2" 'BEGIN {
        least = sub(/^>=/, "", target)
        printf((least ? value >= target + 0 : value <= target + 0) ? "yes" : "no")
    }'
}

# bound TARGET [UNIT]: for the table.
bound() {
    local unit=${2:+ $2}
    case $1 in
        '') ;;
        '>='*) printf '≥ %s%s' "${1#>=}" "$unit" ;;
        *) printf '≤ %s%s' "$1" "$unit" ;;
    esac
}

line() { printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$@" >>"$TEMP/table"; }

# row PART TITLE CASE OTHER [TARGET]: Larder against OTHER, and the median of the ratios of each round.
row() {
    local part=$1 title=$2 values=$TEMP/values/$3.larder others=$TEMP/values/$3.$4 target=${5:-} ratios=$TEMP/values/$3.ratio
    paste "$values" "$others" | awk '{ print ($2 == 0 ? 0 : $1 / $2) }' >"$ratios"
    line "$part" "$title" "$(short "$(median_of "$values")")" "$4 $(short "$(median_of "$others")")" \
        "$(with_range "$ratios")" "$(bound "$target")" "$(verdict "$(median_of "$ratios")" "$target")"
}

# row_alone PART TITLE CASE [TARGET] [UNIT]: a figure with a target of its own.
row_alone() {
    local part=$1 title=$2 values=$TEMP/values/$3.larder target=${4:-} unit=${5:-}
    line "$part" "$title" "$(with_range "$values")" "" "" "$(bound "$target" "$unit")" \
        "$(verdict "$(median_of "$values")" "$target")"
}

# in_turn ROUND SERVER...: all of them, in an order that changes with every round.
in_turn() {
    local first=$(($1 % ($# - 1)))
    shift
    echo "${@:first+1}" "${@:1:first}"
}
