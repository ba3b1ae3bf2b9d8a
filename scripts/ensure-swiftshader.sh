#!/bin/sh
# Prints the manifest of SwiftShader, the second software driver that the tests know, for VK_DRIVER_FILES. Where it is absent it is
# taken out of the package chromium-common of Debian, into FOLDER (default target/swiftshader); nothing is installed.
# Usage: VK_DRIVER_FILES=$(scripts/ensure-swiftshader.sh [FOLDER]) cargo test
# Ends with 2, and says why, where it cannot be had.
set -eu

folder=${1:-target/swiftshader}
manifest=usr/lib/chromium/vk_swiftshader_icd.json

say() { printf 'ensure-swiftshader: %s\n' "$*" >&2; }

if [ ! -f "$folder/$manifest" ]; then
    if ! "$(dirname "$0")/unpack-debian.sh" chromium-common "$folder"; then
        say "or set VK_DRIVER_FILES to the manifest of a SwiftShader of yours"
        exit 2
    fi
fi
if [ ! -f "$folder/$manifest" ]; then
    say "the package holds no $manifest"
    exit 2
fi
printf '%s/%s\n' "$(cd "$folder" && pwd)" "$manifest"
