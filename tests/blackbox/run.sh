#!/bin/sh
# run.sh FILE: one file of black-box tests, as ctest runs it; 77 when what it needs is not here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$here")")
python=$root/build/venv/bin/python

if ! "$python" -c 'import pytest, openai' 2>/dev/null; then
    echo "skipped: no build/venv with pytest and openai; 'make test' makes it"
    exit 77
fi
if [ ! -f "$root/models/smollm2-135m-instruct-q4_1.gguf" ]; then
    echo "skipped: no default model; 'make model' gets it"
    exit 77
fi
export PYTHONDONTWRITEBYTECODE=1
cd "$here"
exec "$python" -m pytest -q -p no:cacheprovider "$1"
