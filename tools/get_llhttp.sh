#!/bin/sh
# get_llhttp.sh DIR: puts the C sources of llhttp into DIR, for the tests that compare our HTTP
# parser with it. They come from Python's package index, where they are packed with a binding;
# the checksum in tests/llhttp.txt decides. Without them those tests are skipped.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
dir=${1:?usage: tools/get_llhttp.sh DIR}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: \
    --require-hashes -r "$root/tests/llhttp.txt" -d "$work" >"$work/log" 2>&1; then
    cat "$work/log" >&2
    echo "get_llhttp: not fetched; the tests that compare with llhttp are skipped" >&2
    exit 0
fi
mkdir -p "$dir"
tar -xmzf "$work"/llhttp-*.tar.gz -C "$dir" --strip-components=2 --no-same-owner --wildcards 'llhttp-*/lib/*'
