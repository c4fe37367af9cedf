#!/bin/sh
# get_js_client.sh DIR: installs the client for JavaScript of tests/blackbox/js into DIR. Needs
# node 20 and npm, which Debian 12 does not have (it has 18); without them its tests are skipped.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
dir=${1:?usage: tools/get_js_client.sh DIR}

mkdir -p "$dir"
if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
    echo "get_js_client: no node or npm; the tests with the client for JavaScript are skipped" >&2
    exit 0
fi
cp "$root/tests/blackbox/js/package.json" "$root/tests/blackbox/js/package-lock.json" "$dir"
if ! npm ci --prefix "$dir" --ignore-scripts --no-audit --no-fund --omit=optional --omit=peer \
    >"$dir/log" 2>&1; then
    cat "$dir/log" >&2
    echo "get_js_client: not installed; the tests with the client for JavaScript are skipped" >&2
fi
