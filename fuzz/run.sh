#!/bin/sh
# run.sh BUILD [TARGET ...]: runs the fuzz targets that are built in BUILD, all or those named,
# each for $FUZZ_SECONDS (60) seconds. What they find interesting stays in BUILD/corpus; an
# input that breaks something is left in BUILD/findings, and the exit status is 1.
set -eu

[ $# -ge 1 ] || { echo "usage: fuzz/run.sh BUILD [TARGET ...]" >&2; exit 2; }
build=$1
shift
here=$(dirname "$0")
[ $# -gt 0 ] || set -- $(find "$build/fuzz" -maxdepth 1 -type f -name 'fuzz_*' -perm -u+x |
    sed 's|.*/fuzz_||' | sort)
mkdir -p "$build/findings"
python3 "$here/seeds.py" "$build/seeds"

# An input must take under 5 s, 1 GiB in all and 512 MiB in one piece.
status=0
for target in "$@"; do
    mkdir -p "$build/corpus/$target" "$build/seeds/$target"
    dictionary=
    [ ! -f "$here/$target.dict" ] || dictionary=-dict=$here/$target.dict
    echo "fuzz: $target for ${FUZZ_SECONDS:-60} s"
    if "$build/fuzz/fuzz_$target" "$build/corpus/$target" "$build/seeds/$target" $dictionary \
        -max_total_time="${FUZZ_SECONDS:-60}" -timeout=5 -rss_limit_mb=1024 \
        -malloc_limit_mb=512 -entropic_scale_per_exec_time=1 \
        -artifact_prefix="$build/findings/$target-" >"$build/findings/$target.log" 2>&1; then
        grep -E 'DONE|^Done' "$build/findings/$target.log"
    else
        tail -40 "$build/findings/$target.log"
        echo "fuzz: $target: see $build/findings/$target.log" >&2
        status=1
    fi
done
exit $status
