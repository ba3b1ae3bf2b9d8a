#!/bin/sh
# Gives kernels to Tint, the WGSL compiler of Chromium; naga, which we compile with, is the other one.
# Usage: scripts/tint.sh FOLDER, with texts that a run with ERGODIC_TEXTS=FOLDER left there.
#
# Tint comes with npm's package `webgpu`, into the target folder; nothing is installed elsewhere. Ends with 2, and says why, where it
# cannot be had, with 1 where it refuses a text.
set -eu
folder=$(cd "${1:?a folder of texts}" && pwd)
cd "$(dirname "$0")/.."
home=${CARGO_TARGET_DIR:-target}/tint

say() { printf 'tint: %s\n' "$*" >&2; }

if ! command -v npm >/dev/null 2>&1; then
    say "it needs Node.js 20 with npm, which are not here"
    exit 2
fi
mkdir -p "$home"
if ! cmp -s scripts/tint/package.json "$home/package.json" || [ ! -d "$home/node_modules/webgpu" ]; then
    cp scripts/tint/package.json "$home/"
    if ! (cd "$home" && npm install --no-audit --no-fund --no-package-lock --ignore-scripts --silent) >&2; then
        rm -f "$home/package.json"
        say "npm could not install the package webgpu: is there a network?"
        exit 2
    fi
fi
cp scripts/tint/check.mjs "$home/"
node "$home/check.mjs" "$folder"
