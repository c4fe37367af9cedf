#!/bin/sh
# setup.sh build|test|lint|fuzz|arm ...: sees whether what these need is here, and installs what is not.
#
# Looks for the things themselves, so it costs well under a second when all is there and a
# compiler or library from elsewhere counts too. Installing is for Debian and its kin; other
# systems are told what is missing and go on.
set -eu

missing=
need() { # package test...
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

has_module() { python3 -c "import sys, importlib.util as u; sys.exit(not u.find_spec('$1'))"; }
has_library() { pkg-config --exists "$1"; }
has_libc_headers() { echo '#include <stdlib.h>' | gcc -E -; }
has_arm_libc_headers() { echo '#include <stdlib.h>' | aarch64-linux-gnu-gcc -E -; }
has_arm_library() {
    PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig pkg-config --exists "$1"
}
has_libfuzzer() {
    echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
        clang -fsanitize=fuzzer,address,undefined -x c - -o /dev/null
}

look() {
    missing=
    for what in "$@"; do
        case $what in
        build)
            need gcc command -v gcc
            need libc6-dev has_libc_headers
            need make command -v make
            need cmake command -v cmake
            need ninja-build command -v ninja
            need pkg-config command -v pkg-config
            need libuv1-dev has_library libuv
            need libssl-dev has_library openssl
            need libjansson-dev has_library jansson
            need libpcre2-dev has_library libpcre2-8
            need libyaml-dev has_library yaml-0.1
            need libutf8proc-dev has_library libutf8proc
            need libedit-dev has_library libedit
            need libcurl4-openssl-dev has_library libcurl
            need python3 command -v python3
            need python3-pip has_module pip
            need ca-certificates test -s /etc/ssl/certs/ca-certificates.crt
            ;;
        test)
            need check has_library check
            need python3-venv has_module ensurepip
            ;;
        lint)
            need python3 command -v python3
            need clang-format-14 command -v clang-format-14
            ;;
        fuzz)
            need clang command -v clang
            need libclang-rt-14-dev has_libfuzzer
            need llvm command -v llvm-symbolizer
            ;;
        arm)
            need gcc-aarch64-linux-gnu command -v aarch64-linux-gnu-gcc
            need libc6-dev-arm64-cross has_arm_libc_headers
            need qemu-user command -v qemu-aarch64
            need check:arm64 has_arm_library check
            ;;
        *)
            echo "setup: unknown set '$what'; use build, test, lint, fuzz or arm" >&2
            exit 2
            ;;
        esac
    done
}

[ $# -gt 0 ] || { echo "usage: tools/setup.sh build|test|lint|fuzz|arm ..." >&2; exit 2; }
look "$@"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: missing here, by the names of Debian's packages:$missing" >&2
    echo "setup: this system has no apt-get; please install them in its own way. Going on." >&2
    exit 0
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1 || ! [ -t 0 ]; then
        echo "setup: missing packages; as root, run: apt-get install$missing" >&2
        exit 1
    fi
    printf 'setup: install%s with sudo apt-get? [Y/n] ' "$missing" >&2
    read -r answer
    case $answer in
    '' | y | Y | yes) as_root=sudo ;;
    *)
        echo "setup: not installed; needed:$missing" >&2
        exit 1
        ;;
    esac
fi

echo "setup: installing$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { # quiet unless it fails
    if ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 \
        -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        echo "setup: 'apt-get $*' failed; see above" >&2
        exit 1
    fi
}
case $missing in
*:arm64*) $as_root dpkg --add-architecture arm64 ;;
esac
apt update
# shellcheck disable=SC2086 # a list of words
apt install -y --no-install-recommends $missing

look "$@"
if [ -n "$missing" ]; then
    echo "setup: installed, but still not found:$missing (does another python3 or pkg-config come first in PATH?)" >&2
fi
