#!/bin/sh
# Laws of ensure-vulkan.sh, on made-up machines: a folder in the place of /, and package managers that only take notes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset VK_DRIVER_FILES VK_ICD_FILENAMES VK_ADD_DRIVER_FILES LD_LIBRARY_PATH XDG_DATA_DIRS XDG_DATA_HOME XDG_CONFIG_HOME XDG_CONFIG_DIRS
failures=0
machines=0

# machine ID: a bare system of this distribution, whose package managers note their arguments and install the driver.
machine() {
    machines=$((machines + 1))
    root=$work/$machines-$1
    mkdir -p "$root/etc" "$root/bin" "$root/usr/lib" "$root/home"
    printf 'ID=%s\n' "$1" >"$root/etc/os-release"
    for tool in apt-get dnf pacman; do
        cat >"$root/bin/$tool" <<SH
#!/bin/sh
echo "$tool \$*" >>"$root/calls"
case "\$*" in *update*) exit 0 ;; esac
[ -e "$root/broken" ] && exit 100
touch "$root/usr/lib/libvulkan.so.1" "$root/usr/lib/libvulkan_lvp.so"
mkdir -p "$root/usr/share/vulkan/icd.d"
echo '{"ICD": {"library_path": "libvulkan_lvp.so"}}' >"$root/usr/share/vulkan/icd.d/any_name.json"
SH
    done
    printf '#!/bin/sh\necho "sudo $*" >>"%s/calls"\nexec "$@"\n' "$root" >"$root/bin/sudo"
    printf '#!/bin/sh\necho Linux\n' >"$root/bin/uname"
    user 0
    chmod +x "$root/bin/"*
}
user() {
    printf '#!/bin/sh\necho %s\n' "$1" >"$root/bin/id"
    chmod +x "$root/bin/id"
}
loader() { touch "$root/usr/lib/libvulkan.so.1"; }
# driver MANIFEST LIBRARY: a manifest that names this library.
driver() {
    mkdir -p "$root/$(dirname "$1")"
    printf '{\n  "ICD": {\n    "api_version": "1.3",\n    "library_path" : "%s"\n  }\n}' "$2" >"$root/$1"
}
library() {
    mkdir -p "$root/$(dirname "$1")"
    touch "$root/$1"
}
run() {
    status=0
    env ERGODIC_TEST_ROOT="$root" HOME="$root/home" PATH="$root/bin:$PATH" "$@" sh "$here/ensure-vulkan.sh" >"$root/out" 2>&1 ||
        status=$?
}
check() {
    what=$1
    shift
    if "$@"; then return; fi
    failures=$((failures + 1))
    printf 'FAILED: %s\n  status %s, said: %s\n  calls: %s\n' "$what" "$status" "$(cat "$root/out")" "$(cat "$root/calls" 2>/dev/null || true)"
}
is_silent() { [ "$status" = 0 ] && [ ! -s "$root/out" ] && [ ! -e "$root/calls" ]; }
installed() { [ "$status" = 0 ] && grep -q "$1" "$root/calls"; }
refused() { [ "$status" = 1 ] && grep -q "$1" "$root/out"; }

for id in debian fedora arch; do
    machine $id
    run
    case $id in debian) want='apt-get install .*libvulkan1' ;; fedora) want='dnf install .*vulkan-loader' ;; *) want='pacman -S .*vulkan-swrast' ;; esac
    check "a bare $id gets the driver" installed "$want"
    check "root needs no sudo on $id" [ "$(grep -c sudo "$root/calls")" = 0 ]
    rm "$root/calls"
    run
    check "a second run on $id does nothing and says nothing" is_silent
done

machine ubuntu
printf 'ID=mint\nID_LIKE="ubuntu debian"\n' >"$root/etc/os-release"
user 1000
run
check "a user installs through sudo" installed 'sudo .*apt-get install'
check "sudo is announced" grep -q 'with sudo' "$root/out"

machine debian && loader && driver usr/share/vulkan/icd.d/lvp_icd.json /usr/lib/libvulkan_lvp.so && library usr/lib/libvulkan_lvp.so
run
check "an absolute library path counts" is_silent

machine debian && loader && driver etc/vulkan/icd.d/x.json ../../../opt/libvk_swiftshader.so && library opt/libvk_swiftshader.so
run
check "a path relative to the manifest counts" is_silent

machine debian && loader && driver home/.local/share/vulkan/icd.d/x.json libany.so && library usr/lib/x86_64-linux-gnu/libany.so
run
check "a user's own manifest and a multiarch folder count" is_silent

machine debian && loader && driver opt/share/vulkan/icd.d/x.json libany.so && library usr/lib64/libany.so
run
check "a manifest outside the loader's folders does not count" installed apt-get
machine debian && loader && driver opt/share/vulkan/icd.d/x.json libany.so && library usr/lib64/libany.so
run XDG_DATA_DIRS=/opt/share
check "XDG_DATA_DIRS adds a folder" is_silent

machine debian && loader && driver usr/share/vulkan/icd.d/lvp_icd.json libvulkan_lvp.so
run
check "a manifest without its library does not count" installed apt-get

machine debian && driver usr/share/vulkan/icd.d/lvp_icd.json libvulkan_lvp.so && library usr/lib/libvulkan_lvp.so
run
check "a driver without the loader does not count" installed apt-get

machine debian && loader && driver usr/share/vulkan/icd.d/radeon_icd.json libvulkan_radeon.so && library usr/lib/libvulkan_radeon.so
run
check "a driver for hardware does not count without the hardware" installed apt-get
machine debian && loader && driver usr/share/vulkan/icd.d/radeon_icd.json libvulkan_radeon.so && library usr/lib/libvulkan_radeon.so
library dev/dri/renderD128
run
check "a driver for hardware counts with the hardware" is_silent

machine debian && loader && library usr/lib/libany.so && driver opt/x.json libany.so
run VK_DRIVER_FILES="$root/opt/x.json"
check "VK_DRIVER_FILES counts" is_silent
run VK_ICD_FILENAMES="$root/opt"
check "its old name and a folder count" is_silent
run VK_DRIVER_FILES="$root/nothing.json"
check "a wrong VK_DRIVER_FILES is named, for no package can repair it" refused 'VK_DRIVER_FILES'

machine slackware
run
check "an unknown system gets a message" refused 'install the Vulkan loader'

machine debian && touch "$root/broken"
run
check "a failing installation is an error" refused 'installation failed'

machine debian && user 1000 && printf '#!/bin/sh\nexit 1\n' >"$root/bin/sudo"
run
check "a user whom sudo refuses gets an error" refused 'installation failed'

machine debian && printf '#!/bin/sh\necho Darwin\n' >"$root/bin/uname"
run
check "macOS needs nothing" is_silent

[ "$failures" = 0 ] || exit 1
echo "ensure-vulkan: all laws hold"
