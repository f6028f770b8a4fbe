#!/usr/bin/env bash
# Fetches what the benchmark "graph" asks its upstream for, once: see README.md.
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: benches/fetch-graph.sh MODULE@VERSION DIR

Makes DIR/go.mod (the module's, without what it replaces by local folders) and DIR/modules (in the layout of the Go
command's download cache), from wherever `go env GOPROXY` says: everything needed to download it, and beside that
what a proxy could ask for: the .mod of all requirements of all requirements, the zip of the highest version of each
module among them, and the zip of each version of which the download needs the .mod only. Does nothing if they are
there. DIR needs room for the unpacked modules while it works, about five times their zips.
USAGE
}

case ${1:-} in
    -h | --help) usage; exit 0 ;;
    *@*) ;;
    *) usage >&2; exit 2 ;;
esac
[ $# -eq 2 ] || { usage >&2; exit 2; }
query=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)

ready() {
    echo "ready; now:"
    echo "  export GRAPH_DATA='$dir/modules' GRAPH_MOD='$dir/go.mod'"
    echo "  benches/run.sh graph sumdb"
}

if [ -f "$dir/COMPLETE" ]; then
    ready
    exit 0
fi
command -v go >/dev/null || { echo "go is missing: see https://go.dev/doc/install" >&2; exit 1; }

temp=$(mktemp -d "$dir/.fetching.XXXXXX")
trap 'chmod -R u+w "$temp" 2>/dev/null; rm -rf "$temp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# A few requests at a time (the Go command makes as many as it has processors), into a cache of its own, so that
# nothing is left out because it is there already. Checksums are not what this is about.
cores=$(nproc)
export GOMAXPROCS=$((cores < 4 ? cores : 4))
export GOMODCACHE=$temp/cache GOSUMDB=off GOWORK=off GOTOOLCHAIN=local GOFLAGS='-modcacherw -mod=mod'
proxy=$(go env GOPROXY)
field() { sed -n "s/^[[:space:]]*\"$1\": \"\(.*\)\",\{0,1\}\$/\1/p" <<<"$answer"; }

# What `go mod download` fetches.
plain() {
    local answer path
    mkdir "$temp/main"
    cd "$temp/main"
    echo "the go.mod of $query" >&2
    printf 'module fetch\n' >go.mod
    answer=$(go mod download -json "$query")
    path=$(field Path)
    cp "$(field GoMod)" go.mod
    chmod u+w go.mod

    # Folders that a replacement names are not part of the module.
    go mod edit -json | awk '
        # Of each replacement: the path it replaces ("Old"), and by what ("New").
        /^\t"Replace": \[/ { replacing = 1 }
        /^\t\]/ { replacing = 0 }
        replacing && /"(Old|New)": \{/ { side = $1 }
        replacing && /"Path": / {
            path = $2
            gsub(/[",]/, "", path)
            if (side ~ /Old/) old = path
            else if (path ~ /^\.\.?(\/|$)/ || path ~ /^\//) print old
        }
        replacing && side ~ /Old/ && /"Version": / {
            gsub(/[",]/, "", $2)
            old = old "@" $2
        }' | sort -u | while read -r local; do
        echo "without $local, which is replaced by a folder" >&2
        go mod edit -dropreplace="$local" -droprequire="${local%@*}"
    done
    cp go.mod "$temp/go.mod"

    echo "what $path requires" >&2
    # Only what this download asks for: the module itself is not part of it.
    rm -rf "$temp/cache"
    go mod download >&2
    # The names of versions, "!x" turned back into "X".
    find "$temp/cache/cache/download" -name '*.mod' -printf '%P\n' |
        sed -e 's#/@v/#@#; s#\.mod$##' -e 's/!\(.\)/\U\1/g' >"$dir/plain"
    mkdir -p "$dir/modules"
    take
    mv "$temp/go.mod" "$dir/go.mod"
}

# Takes over what was fetched; what is there already stays as it is.
take() {
    local files=$temp/cache/cache/download
    find "$files" \( -name '*.info' -o -name '*.mod' -o -name '*.zip' -o -name '*.ziphash' \) -printf '%P\0' |
        tar -C "$files" --null -T - -cf - | tar -C "$dir/modules" --skip-old-files -xf -
}

# Enough left for the zips and what they unpack to. KB.
SPACE=20000000

# What a proxy may ask for, because it guesses that its client will, or because it always wants a version whole.
guesses() {
    local batch
    mkdir "$temp/old" "$temp/none"
    cd "$temp/old"
    # To a language of this age all requirements of all requirements belong: none are pruned.
    cp "$dir/go.mod" go.mod
    go mod edit -go=1.16 -toolchain=none
    export GOPROXY="file://$dir/modules,$proxy"
    echo "all that its requirements require" >&2
    go mod graph -go=1.16 >"$temp/graph"
    take

    # The highest version of each: "~" sorts before the end of a line, as a pre-release does before its release.
    tr ' ' '\n' <"$temp/graph" | grep @ | grep -Ev '^(go|toolchain)@' | sort -u |
        awk -F@ '{ key = $2; sub(/\+incompatible$/, "", key); gsub(/-/, "~", key); print $1, key, $2 }' |
        sort -k1,1 -k2,2V | awk '{ last[$1] = $3 } END { for (module in last) print module "@" last[module] }' |
        sort -u - "$dir/plain" >"$temp/versions"
    echo "zips of $(wc -l <"$temp/versions") versions" >&2
    cd "$temp/none"
    printf 'module fetch\n' >go.mod
    while mapfile -t -n 40 batch && [ "${#batch[@]}" -gt 0 ]; do
        if [ "$(df -kP "$dir" | awk 'NR == 2 { print $4 }')" -lt "$SPACE" ]; then
            echo "less than $((SPACE / 1000000)) GB are free: no further zips" >&2
            break
        fi
        go mod download "${batch[@]}"
    done <"$temp/versions"
    take
}

# Beginnings of an earlier run are used.
if [ ! -f "$dir/go.mod" ] || [ ! -f "$dir/plain" ]; then
    plain
fi
guesses
date >"$dir/COMPLETE"
du -sh "$dir/modules" >&2
for kind in info mod zip; do
    echo "$(find "$dir/modules" -name "*.$kind" | wc -l) .$kind" >&2
done
ready
