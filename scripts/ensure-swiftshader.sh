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
    if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg >/dev/null 2>&1; then
        say "it is taken from a package of Debian, and this system has no apt-get; set VK_DRIVER_FILES to a SwiftShader of yours"
        exit 2
    fi
    mkdir -p "$folder"
    fetch() { (cd "$folder" && apt-get download -q chromium-common >/dev/null 2>&1); }
    if ! fetch; then
        # Old lists name packages that are gone.
        sudo=
        [ "$(id -u)" = 0 ] || sudo="sudo -n"
        $sudo apt-get update -q >/dev/null 2>&1 || true
        if ! fetch; then
            say "the package chromium-common cannot be downloaded: is there a network, and is this Debian?"
            exit 2
        fi
    fi
    for package in "$folder"/chromium-common_*.deb; do dpkg -x "$package" "$folder"; done
    rm -f "$folder"/chromium-common_*.deb
fi
if [ ! -f "$folder/$manifest" ]; then
    say "the package holds no $manifest"
    exit 2
fi
printf '%s/%s\n' "$(cd "$folder" && pwd)" "$manifest"
