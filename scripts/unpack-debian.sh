#!/bin/sh
# Unpacks a package of Debian into a folder; nothing is installed.
# Usage: scripts/unpack-debian.sh PACKAGE FOLDER
# Ends with 2, and says why, where it cannot be had.
set -eu
package=${1:?a package} folder=${2:?a folder}

say() { printf 'unpack-debian: %s\n' "$*" >&2; }

if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg >/dev/null 2>&1; then
    say "$package is taken from a package of Debian, and this system has no apt-get"
    exit 2
fi
mkdir -p "$folder"
fetch() { (cd "$folder" && apt-get download -q "$package" >/dev/null 2>&1); }
if ! fetch; then
    # Old lists name packages that are gone.
    sudo=
    [ "$(id -u)" = 0 ] || sudo="sudo -n"
    $sudo apt-get update -q >/dev/null 2>&1 || true
    if ! fetch; then
        say "$package cannot be downloaded: is there a network, and is this Debian?"
        exit 2
    fi
fi
for file in "$folder/$package"_*.deb; do dpkg -x "$file" "$folder"; done
rm -f "$folder/$package"_*.deb
