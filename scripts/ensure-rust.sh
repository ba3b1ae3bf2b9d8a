#!/bin/sh
# Says how to get Rust where cargo is missing or older than Cargo.toml asks. Silent when nothing has to be done.
set -eu
cd "$(dirname "$0")/.."

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

want=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null 2>&1; then
    fail "ergodic needs Rust $want or newer, and there is no cargo here. Get it from https://rustup.rs:" \
        "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
fi
have=$(cargo --version | cut -d ' ' -f 2 | cut -d - -f 1)
oldest=$(printf '%s.0\n%s\n' "$want" "$have" | sort -t . -k 1,1n -k 2,2n -k 3,3n | head -n 1)
if [ "$oldest" != "$want.0" ]; then
    fail "ergodic needs Rust $want or newer; this cargo is $have. Update it with: rustup update stable" \
        "(a cargo of the distribution's can be replaced by that of https://rustup.rs)"
fi
case $(uname -s) in
Linux)
    command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 ||
        fail "Rust needs a C linker, and there is none here. Install gcc, for example: sudo apt-get install gcc libc6-dev"
    ;;
esac
