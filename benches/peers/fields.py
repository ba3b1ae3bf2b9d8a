"""Explicit steps on periodic grids; see benches/workloads/suite/fields.rs."""

import jax
import jax.numpy as jnp
import numpy as np

from common import nothing

DIFFUSION, TIME_STEP, CHECKED, WAVES = 0.2, 0.002, 2, (3.0, 2.0)


def rolled(u, axis):
    return jnp.roll(u, 1, axis) + jnp.roll(u, -1, axis)


def padded(u, axis):
    """Neighbours through one padded copy, which XLA slices instead of gathering."""
    widths = [(1, 1) if i == axis else (0, 0) for i in range(u.ndim)]
    p = jnp.pad(u, widths, mode="wrap")
    n = u.shape[axis]
    return jax.lax.slice_in_dim(p, 0, n, axis=axis) + jax.lax.slice_in_dim(p, 2, n + 2, axis=axis)


def joined(u, axis):
    n = u.shape[axis]
    cut = lambda a, b: jax.lax.slice_in_dim(u, a, b, axis=axis)
    left = jnp.concatenate([cut(n - 1, n), cut(0, n - 1)], axis)
    right = jnp.concatenate([cut(1, n), cut(0, 1)], axis)
    return left + right


FORMS = {"roll": rolled, "pad": padded, "concatenate": joined}


def variants(step, u, steps, answer):
    """Scans and loops of a step under each way to find the neighbours."""
    made = {}
    for name, neighbours in FORMS.items():
        for unroll in (1, 4):

            @jax.jit
            def run(u, neighbours=neighbours, unroll=unroll):
                return jax.lax.scan(lambda u, _: (step(u, neighbours), None), u, None, steps, unroll=unroll)[0]

            made[f"{name}, unroll {unroll}"] = (nothing, lambda run=run: run(u), answer)
    return made


def heat_2d(sizes):
    rows, cells = sizes["rows"], sizes["cells"]
    y, x = np.arange(rows)[:, None] / rows, np.arange(cells)[None, :] / cells
    u = jnp.asarray(1 + np.cos(2 * np.pi * WAVES[0] * y) * np.cos(2 * np.pi * WAVES[1] * x), "float32")

    def step(u, neighbours):
        return (1 - 4 * DIFFUSION) * u + DIFFUSION * (neighbours(u, 0) + neighbours(u, 1))

    def answer(u):
        u = np.asarray(u, np.float64)
        return np.concatenate([[u.sum()], np.ravel(u[:CHECKED])])

    return variants(step, u, sizes["steps"], answer)


def allen_cahn(sizes):
    rows, cells = sizes["rows"], sizes["cells"]
    k, x = np.arange(rows)[:, None], 2 * np.pi * np.arange(cells)[None, :] / cells
    u = jnp.asarray(0.5 * np.sin((1 + k % 3) * x) + 0.3 * np.cos((2 + k % 5) * x), "float32")

    def step(u, neighbours):
        return (1 - 2 * DIFFUSION) * u + DIFFUSION * neighbours(u, 1) + TIME_STEP * (u - u * u * u)

    return variants(step, u, sizes["steps"], lambda u: np.ravel(u[:CHECKED]))
