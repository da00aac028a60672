#!/bin/sh
# Print a Python that MLX has packages for, or say in one line which to get.
#
#     scripts/find-python.sh [CANDIDATE]      with a candidate, only that one is looked at
#
# MLX needs Python 3.10 or newer; on a Mac also Apple silicon, a native (arm64) Python and macOS 14.

fail() {
    echo "spark-mlx: $1" >&2
    exit 1
}

# "3.12 Linux x86_64 -": version, system, machine of this Python, macOS version.
describe() {
    "$1" -c 'import platform as p, sys
print("%d.%d" % sys.version_info[:2], p.system(), p.machine(), p.mac_ver()[0] or "-")' 2>/dev/null
}

new_enough() {
    case $1 in
        3.[0-9] | 2.*) return 1 ;;
        *) return 0 ;;
    esac
}

seen=
for candidate in ${1:-python3 python3.14 python3.13 python3.12 python3.11 python3.10 \
    /opt/homebrew/bin/python3 /usr/local/bin/python3}; do
    found=$(describe "$candidate") || continue
    # shellcheck disable=SC2086  # four words
    set -- $found
    if ! new_enough "$1"; then
        seen="$seen $candidate is Python $1,"
        continue
    fi
    if [ "$2" = Darwin ]; then
        [ "$(uname -m)" = x86_64 ] && [ "$(sysctl -n hw.optional.arm64 2>/dev/null)" != 1 ] &&
            fail "MLX runs on Apple silicon only, and this Mac has an Intel processor"
        if [ "$3" != arm64 ]; then
            seen="$seen $candidate is built for Intel (Rosetta),"
            continue
        fi
        [ "${4%%.*}" -ge 14 ] || fail "MLX needs macOS 14 or newer, and this is macOS $4"
    fi
    command -v "$candidate"
    exit 0
done
case $(uname -s) in
    Darwin) remedy="brew install python, or python.org's installer" ;;
    *) remedy="install python3.12 with your package manager, or uv python install 3.12" ;;
esac
fail "needs a native Python 3.10 or newer:${seen:- found none,} get one ($remedy) and run: make PYTHON=/path/to/python3"
