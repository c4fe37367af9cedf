#!/bin/sh
# run.sh: the tests with the client for JavaScript, as ctest runs them; 77 when they cannot run.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)

if ! [ -f "$root/build/js/node_modules/openai/package.json" ]; then
    echo "skipped: no build/js with the openai client; 'make test' makes it where node and npm are"
    exit 77
fi
if ! node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null; then
    echo "skipped: no node of version 20 or later"
    exit 77
fi
exec "$here/../run.sh" test_api_js_client.py
