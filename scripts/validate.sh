#!/bin/sh
# Runs tests under Khronos' validation layer, which checks every call to Vulkan and every SPIR-V module against the specification.
# Usage: scripts/validate.sh [--test NAME ...], arguments of cargo test
#
# The layer is taken out of the package vulkan-validationlayers of Debian, into the target folder, where the system has none; nothing
# is installed. Ends with 2, and says why, where it cannot be had, with 1 where a test fails or the layer complains.
set -eu
cd "$(dirname "$0")/.."
home=${CARGO_TARGET_DIR:-target}/validation
manifest=explicit_layer.d/VkLayer_khronos_validation.json

say() { printf 'validate: %s\n' "$*" >&2; }

mkdir -p "$home"
home=$(cd "$home" && pwd)
if [ ! -f "/usr/share/vulkan/$manifest" ] && [ ! -f "$home/usr/share/vulkan/$manifest" ]; then
    if ! scripts/unpack-debian.sh vulkan-validationlayers "$home"; then
        say "or install your system's package of VK_LAYER_KHRONOS_validation"
        exit 2
    fi
    # It names its library without a folder.
    library=$(find "$home/usr/lib" -name libVkLayer_khronos_validation.so)
    sed -i "s|\"library_path\": *\"[^\"]*\"|\"library_path\": \"$library\"|" "$home/usr/share/vulkan/$manifest"
fi
[ -f "/usr/share/vulkan/$manifest" ] || export VK_LAYER_PATH="$home/usr/share/vulkan/explicit_layer.d"

cat >"$home/vk_layer_settings.txt" <<SETTINGS
khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG
khronos_validation.report_flags = error,warn,info
khronos_validation.log_filename = stdout
SETTINGS
# Without WGPU_DEBUG: it writes the source language into SPIR-V, which layers older than WGSL's number there call an error.
export VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation VK_LAYER_SETTINGS_PATH="$home" WGPU_VALIDATION=1 WGPU_DEBUG=0
{ cargo test --locked --no-fail-fast "$@" 2>&1 || echo "validate: tests failed"; } | tee "$home/log"
said() { grep -ao "$1.*" "$home/log" || true; }
if [ -z "$(said 'Khronos Validation Layer Active')" ]; then
    say "the layer was not loaded"
    exit 1
fi
complaints=$(said 'Validation \(Error\|Warning\|Performance Warning\): \[' | sed 's/0x[0-9a-f]*//g' | sort | uniq -c | sort -rn | cut -c1-600)
if [ -n "$complaints" ] || [ -n "$(said 'validate: tests failed')" ]; then
    say "the layer complains, or a test failed: $complaints"
    exit 1
fi
say "the layer has no complaint"
