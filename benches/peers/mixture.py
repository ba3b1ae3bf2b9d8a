"""Langevin walkers in two Gaussian wells; see benches/workloads/suite/mixture.rs for the formulas."""

import jax
import jax.numpy as jnp
import numpy as np

from common import by_generator

WELL, STEP_SIZE, LEVEL = 2.0, 0.1, 2.0


def energy(x, means, z):
    a = 0.5 * jnp.sum((x - means[0]) ** 2)
    b = 0.5 * jnp.sum((x - means[1]) ** 2) + z
    return -jnp.logaddexp(-a, -b)


def by_hand(x, means, z):
    """The energy and its gradient written out: responsibilities times displacements."""
    a = 0.5 * jnp.sum((x - means[0]) ** 2)
    b = 0.5 * jnp.sum((x - means[1]) ** 2) + z
    return a - jax.nn.softplus(a - b), x - means[0] + jax.nn.sigmoid(a - b) * (means[0] - means[1])


FORMULATIONS = {"jax.grad": jax.value_and_grad(energy), "by hand": by_hand}


def start(n, d):
    """Exact draws from two equal wells, every other walker in each."""
    means = np.zeros((2, d), np.float32)
    means[:, 0] = -WELL, WELL
    x = np.random.default_rng(11).standard_normal((n, d)).astype(np.float32)
    x[:, 0] += np.where(np.arange(n) % 2 == 0, -WELL, WELL).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(means)


def noise_of(key, k, shape):
    return jnp.sqrt(2 * STEP_SIZE) * jax.random.normal(jax.random.fold_in(key, k), shape)


def ula(sizes):
    n, d, steps = sizes["n"], sizes["d"], sizes["steps"]
    x0, means = start(n, d)

    def build(key, formulation):
        value_and_grad = jax.vmap(FORMULATIONS[formulation], (0, None, None))

        @jax.jit
        def run(x, key):
            def step(x, k):
                return x - STEP_SIZE * value_and_grad(x, means, 0.0)[1] + noise_of(key, k, x.shape), None

            return jax.lax.scan(step, x, jnp.arange(steps))[0]

        return lambda: run(x0, key), answer

    def answer(x):
        x = np.asarray(x, np.float64)
        return [x[:, 0].mean(), (x[:, 0] ** 2).mean(), (x[:, 1:] ** 2).mean()]

    return by_generator(build, FORMULATIONS)


def jarzynski(sizes):
    n, d, steps = sizes["n"], sizes["d"], sizes["steps"]
    x0, means = start(n, d)
    levels = jnp.asarray(np.arange(steps + 1) * (LEVEL / steps), "float32")

    def build(key, formulation):
        value_and_grad = jax.vmap(FORMULATIONS[formulation], (0, None, None))

        @jax.jit
        def run(x, key):
            u, g = value_and_grad(x, means, levels[0])

            def step(state, k):
                x, u, g, a = state
                y = x - STEP_SIZE * g + noise_of(key, k, x.shape)
                v, f = value_and_grad(y, means, levels[k + 1])
                # The log-weight of suite/mixture.rs: path and change of the energy in one sum.
                a = a + u - v + 0.5 * jnp.sum((y - x + 0.5 * STEP_SIZE * (g - f)) * (g + f), axis=1)
                return (y, v, f, a), None

            (_, _, _, a), _ = jax.lax.scan(step, (x, u, g, jnp.zeros(n)), jnp.arange(steps))
            top = jnp.max(a)
            w = jnp.exp(a - top)
            mean = jnp.mean(w)
            return top + jnp.log(mean), jnp.sqrt((jnp.mean(w**2) / mean**2 - 1) / n)

        return lambda: run(x0, key), lambda result: [float(v) for v in result]

    return by_generator(build, FORMULATIONS)
