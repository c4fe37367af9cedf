#!/bin/sh
# check_format.sh [--fix]: says where C code is not as .clang-format (version 14) wants it,
# or lays it out so.
set -eu
case ${1:-} in
'') action='--dry-run -Werror' ;;
--fix) action=-i ;;
*)
    echo "usage: tools/check_format.sh [--fix]" >&2
    exit 2
    ;;
esac
format=$(command -v clang-format-14 || command -v clang-format) || {
    echo "format: no clang-format here; skipped" >&2
    exit 0
}
cd "$(dirname "$0")/.."
# shellcheck disable=SC2086 # a list of words
find src include cli bench fuzz tests -name '*.[ch]' 2>/dev/null | sort | xargs -r "$format" $action
