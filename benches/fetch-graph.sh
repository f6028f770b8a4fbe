#!/usr/bin/env bash
# Fetches what `go mod download` needs for a module's own go.mod, once, for the benchmark "graph": see README.md.
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: benches/fetch-graph.sh MODULE@VERSION DIR

Makes DIR/go.mod (the module's, without what it replaces by local folders) and DIR/modules (everything needed to
download it, in the layout of the Go command's download cache), from wherever `go env GOPROXY` says. Does nothing
if they are there. DIR needs room for the unpacked modules while it works, about five times their zips.
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
    echo "  benches/run.sh graph"
}

if [ -d "$dir/modules" ] && [ -f "$dir/go.mod" ]; then
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
mkdir "$temp/main"
cd "$temp/main"

echo "the go.mod of $query" >&2
printf 'module fetch\n' >go.mod
answer=$(go mod download -json "$query")
field() { sed -n "s/^[[:space:]]*\"$1\": \"\(.*\)\",\{0,1\}\$/\1/p" <<<"$answer"; }
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
find "$temp/cache/cache/download" -name '*.lock' -delete
rm -rf "$temp/cache/cache/download/sumdb"
mv "$temp/cache/cache/download" "$dir/modules"
mv "$temp/go.mod" "$dir/go.mod"
du -sh "$dir/modules" >&2
for kind in info mod zip; do
    echo "$(find "$dir/modules" -name "*.$kind" | wc -l) .$kind" >&2
done
ready
