"""The workloads in JAX, as a server: one request a line on the standard input, one answer a line on the standard output.

    {"id": "gram", "sizes": {"n": 512, "k": 128, "steps": 1}, "repeats": 5}
    {"id": "gram", "seconds": [..], "variant": "x @ x.T", "variants": {..}, "answer": [..]}

The answer's numbers are judged by the caller, with the function that judges its own. The first line says what runs:
version, devices. Try one by hand: echo '{"id": ..}' | python run.py
"""

import json
import sys

import jax
import numpy as np

import arrays
import ebm
import fields
import mixture
import networks
from common import fastest, seconds

WORKLOADS = {
    "ula_mixture": mixture.ula,
    "jarzynski_mixture": mixture.jarzynski,
    "mlp_train": networks.mlp_train,
    "mlp_input_grad": networks.mlp_input_grad,
    "ebm_step": ebm.step,
    "velocity_step": networks.velocity_step,
    "divergence": networks.divergence,
    "heat_2d": fields.heat_2d,
    "allen_cahn": fields.allen_cahn,
    "gram": arrays.gram,
    "resample": arrays.resample,
}


def measure(request):
    variants = WORKLOADS[request["id"]](request["sizes"])
    best, found = fastest(variants)
    configure, run, answer = variants[best]
    configure()
    times = seconds(run, request["repeats"])
    numbers = [float(v) for v in np.asarray(answer(run()), np.float64)]
    return {"id": request["id"], "seconds": times, "variant": best, "variants": found, "answer": numbers}


def ceilings():
    """Bytes a second of a large copy, read and write counted, and flops a second of a large product: what the device can do."""
    x, a = jax.numpy.ones(1 << 28), jax.numpy.ones((8192, 8192)) / 3
    copy, product = jax.jit(lambda x: x * 1.5), jax.jit(lambda a: a @ a)
    shortest = lambda f, x: seconds(lambda: f(x), 5)[0]
    return {"copy_gb_s": 8e-9 * x.size / shortest(copy, x), "f32_tflop_s": 2e-12 * 8192**3 / shortest(product, a)}


def main():
    # A GPU would multiply with 10 bits by default.
    jax.config.update("jax_default_matmul_precision", "highest")
    hello = {"jax": jax.__version__, "devices": [str(device) for device in jax.devices()]}
    print(json.dumps(hello), flush=True)
    for line in sys.stdin:
        try:
            request = json.loads(line)
            answer = ceilings() if request["id"] == "ceilings" else measure(request)
            print(json.dumps(answer), flush=True)
        except Exception as error:  # the caller says so in its table and goes on
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)


main()
