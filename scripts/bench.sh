#!/bin/sh
# Times the workloads and the same work in JAX: make bench. Arguments go to benches/workloads, such as --scale small.
#
# JAX comes into a virtual environment of its own under the target folder, from benches/peers/requirements.txt. BENCH_PYTHON
# names a Python that has JAX already, for one with a GPU. Without Python or JAX only ours is measured.
set -eu
cd "$(dirname "$0")/.."

wanted=benches/peers/requirements.txt
venv=${CARGO_TARGET_DIR:-target}/peers

say() { printf 'bench: %s\n' "$*" >&2; }

# A Python with JAX on the standard output, or nothing.
peers() {
    if [ -n "${BENCH_PYTHON:-}" ]; then
        echo "$BENCH_PYTHON"
        return
    fi
    if ! cmp -s "$wanted" "$venv/installed.txt"; then
        say "installing JAX into $venv"
        rm -rf "$venv"
        if ! { python3 -m venv "$venv" && "$venv/bin/python" -m pip install --quiet -r "$wanted"; } >&2; then
            say "no JAX: a Python 3.11 with venv and pip is needed, and a package index"
            return
        fi
        cp "$wanted" "$venv/installed.txt"
    fi
    echo "$venv/bin/python"
}

python=$(peers)
cargo bench --locked --bench workloads -- ${python:+--peers "$python"} "$@"
