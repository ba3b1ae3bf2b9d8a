#!/bin/sh
# Makes sure that this machine has a Vulkan adapter; installs Mesa's software driver where there is none.
#
# An adapter needs the loader (libvulkan.so.1) and a driver that it can see: a manifest in one of the loader's folders
# whose library is there. A driver for hardware counts only if the kernel offers such a device: distributions ship all
# drivers in one package. Manifests are known by what they name, never by their own name, which differs between versions.
# Silent when nothing has to be done. ERGODIC_TEST_ROOT puts another folder in the place of /, for the test beside.
set -eu

root=${ERGODIC_TEST_ROOT:-}
home=${HOME:-/nonexistent}

say() { printf 'ensure-vulkan: %s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}

# Folders where the dynamic linker looks, one a line.
library_folders() {
    printf '%s\n' "${LD_LIBRARY_PATH:-}" | tr ':' '\n'
    cat "$root"/etc/ld.so.conf "$root"/etc/ld.so.conf.d/*.conf 2>/dev/null | grep '^/' | sed "s|^|$root|" || true
    for dir in "$root"/lib "$root"/usr/lib "$root"/lib64 "$root"/usr/lib64 "$root"/usr/local/lib \
        "$root"/lib/*-linux-* "$root"/usr/lib/*-linux-* "$root"/run/opengl-driver/lib; do
        printf '%s\n' "$dir"
    done
}

# Whether the linker finds a library of this name.
has_library() {
    if library_folders | while IFS= read -r dir; do [ -n "$dir" ] && [ -e "$dir/$1" ] && echo yes; done | grep -q yes; then
        return 0
    fi
    # The linker's cache may know folders that no file names. Its tool is often outside a user's PATH.
    [ -z "$root" ] && PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -qF "$1 "
}

# The loader's folders for driver manifests, in its order, one a line.
manifest_folders() {
    for base in "${XDG_CONFIG_HOME:-$home/.config}" "${XDG_DATA_HOME:-$home/.local/share}"; do
        printf '%s/vulkan/icd.d\n' "$base"
    done
    printf '%s\n' "${XDG_CONFIG_DIRS:-/etc/xdg}:/etc:${XDG_DATA_DIRS:-/usr/local/share:/usr/share}:/usr/local/share:/usr/share" |
        tr ':' '\n' | while IFS= read -r base; do [ -n "$base" ] && printf '%s%s/vulkan/icd.d\n' "$root" "$base"; done
}

# Manifests that the loader reads, one a line. VK_DRIVER_FILES (formerly VK_ICD_FILENAMES) replaces its folders.
manifests() {
    forced=${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}
    if [ -n "$forced" ]; then
        printf '%s\n' "$forced" | tr ':' '\n'
    else
        printf '%s\n' "${VK_ADD_DRIVER_FILES:-}" | tr ':' '\n'
        manifest_folders
    fi | while IFS= read -r path; do
        if [ -d "$path" ]; then
            for file in "$path"/*.json; do [ -f "$file" ] && printf '%s\n' "$file"; done
        elif [ -f "$path" ]; then
            printf '%s\n' "$path"
        fi
    done
}

# Whether the kernel offers a GPU that this user may open.
has_gpu() {
    for node in "$root"/dev/dri/renderD* "$root"/dev/nvidia[0-9]* "$root"/dev/dxg "$root"/dev/kgsl-3d0 "$root"/dev/mali0; do
        [ -r "$node" ] && [ -w "$node" ] && return 0
    done
    return 1
}

# Whether a manifest describes a driver that can offer an adapter here.
is_usable() {
    library=$(tr -d '\n' <"$1" | sed -n 's/.*"library_path"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' | sed 's|\\/|/|g')
    case $library in
    '') return 1 ;;
    /*) [ -e "$root$library" ] || return 1 ;;
    */*) [ -e "$(dirname "$1")/$library" ] || return 1 ;;
    *) has_library "$library" || return 1 ;;
    esac
    case $library in
    *intel* | *radeon* | *amdvlk* | *amdgpu* | *nvidia* | *nouveau* | *virtio* | *gfxstream* | *dzn* | *asahi* | *powervr* | \
        *panfrost* | *freedreno* | *broadcom* | *mali*) has_gpu ;;
    *) return 0 ;;
    esac
}

has_driver() {
    manifests | while IFS= read -r file; do is_usable "$file" && echo yes; done | grep -q yes
}

is_fine() { has_library libvulkan.so.1 && has_driver; }

# Runs a command as root, through sudo only where that is needed.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        fail "this needs root and there is no sudo; run as root: $*"
    fi
}

announce() {
    who='as root'
    [ "$(id -u)" = 0 ] || who='with sudo, which may ask for your password'
    say "this machine has no Vulkan adapter. Installing Mesa's software driver $who: $*"
}

install_driver() {
    family=$(sed -n 's/^ID=//p; s/^ID_LIKE=//p' "$root/etc/os-release" 2>/dev/null | tr -d '"' | tr '\n' ' ')
    for id in $family; do
        case $id in
        debian | ubuntu)
            announce apt-get install mesa-vulkan-drivers libvulkan1
            # A stale or missing package list is the common case on a fresh machine; a failing mirror may not matter.
            as_root apt-get update -qq || say "apt-get update failed; going on with the lists that are there"
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                mesa-vulkan-drivers libvulkan1
            return
            ;;
        fedora | rhel)
            announce dnf install mesa-vulkan-drivers vulkan-loader
            as_root dnf install -y -q mesa-vulkan-drivers vulkan-loader
            return
            ;;
        arch)
            announce pacman -S vulkan-swrast vulkan-icd-loader
            # A fresh system has no package database yet; where there is one, it is left alone.
            as_root pacman -S --needed --noconfirm vulkan-swrast vulkan-icd-loader ||
                as_root pacman -Sy --needed --noconfirm vulkan-swrast vulkan-icd-loader
            return
            ;;
        esac
    done
    fail "no Vulkan adapter, and no known package manager for \`${family:-this system}\`: install the Vulkan loader" \
        "(libvulkan.so.1) and a driver, such as Mesa's lavapipe, then run this again"
}

case $(uname -s) in
Linux) ;;
Darwin | MINGW* | MSYS* | CYGWIN* | Windows_NT) exit 0 ;; # Metal and DX12 come with the system
*) is_fine || fail "no Vulkan adapter: install the Vulkan loader (libvulkan.so.1) and a driver, such as Mesa's lavapipe" ;;
esac

if is_fine; then exit 0; fi
if [ -n "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ] && ! has_driver; then
    fail "VK_DRIVER_FILES or VK_ICD_FILENAMES names no driver that can run here (${VK_DRIVER_FILES:-$VK_ICD_FILENAMES});" \
        "unset it, or name the manifest of an installed driver"
fi
install_driver >&2 || fail "the installation failed; its message is above"
is_fine || fail "the packages are installed, but the Vulkan loader still sees no driver that can run here"
say "done"
