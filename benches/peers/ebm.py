"""One iteration of training a network as an energy; see benches/workloads/suite/ebm.rs and src/methods/ebm/."""

import jax
import jax.numpy as jnp
import numpy as np

from common import by_generator, flat, noise, parameters
from networks import adam, adam_start, mlp

STEP_SIZE, CHECKED, ITERATIONS = 0.01, 8, 2


def energy(theta, x):
    """One value a row."""
    return mlp(theta, x)[:, 0] + 0.5 * jnp.sum(x * x, axis=1)


def value_and_force(theta, x):
    u, back = jax.vjp(lambda x: energy(theta, x), x)
    return u, back(jnp.ones_like(u))[0]


def weighted_gradient(theta, x, p):
    return jax.grad(lambda theta: jnp.sum(p * energy(theta, x)))(theta)


def iteration(state, data, key, k, moves):
    """Parameters move by data and walkers; walkers move under the old ones, and cross to the new ones in the last move."""
    (theta, m, v), x, u, g, a, model = state
    n = x.shape[0]
    gradient = weighted_gradient(theta, data, 1.0 / data.shape[0])
    moved = adam((theta, m, v), jax.tree.map(jnp.subtract, gradient, model), k)
    key = jax.random.fold_in(key, k.astype(jnp.int32))

    def move(theta, state, s):
        x, u, g, a = state
        y = x - STEP_SIZE * g + jnp.sqrt(2 * STEP_SIZE) * jax.random.normal(jax.random.fold_in(key, s), x.shape)
        w, f = value_and_force(theta, y)
        a = a + u - w + 0.5 * jnp.sum((y - x + 0.5 * STEP_SIZE * (g - f)) * (g + f), axis=1)
        return y, w, f, a

    inner = lambda state, s: (move(theta, state, s), None)
    walkers, _ = jax.lax.scan(inner, (x, u, g, a), jnp.arange(moves - 1))
    x, u, g, a = move(moved[0], walkers, moves - 1)
    return moved, x, u, g, a, weighted_gradient(moved[0], x, jax.nn.softmax(a))


def step(sizes):
    n, d, moves = sizes["n"], sizes["d"], sizes["moves"]
    theta = parameters([d, sizes["wide"], sizes["narrow"], 1], 1, output_bias=False)
    theta[-1] = (jnp.zeros_like(theta[-1][0]), None)
    data = jnp.asarray(noise(n * d, 5).reshape(n, d))
    x = jnp.asarray(np.random.default_rng(2).standard_normal((n, d)), "float32")
    u, g = value_and_force(theta, x)
    start = (adam_start(theta), x, u, g, jnp.zeros(n), weighted_gradient(theta, x, 1.0 / n))

    def build(key, formulation):
        run = jax.jit(lambda state, k: iteration(state, data, key, k, moves))

        def answer(_):
            state = start
            for k in range(ITERATIONS):
                state = run(state, jnp.float32(k))
            (theta, _, _), x, u, g, a, _ = state
            a = np.asarray(a, np.float64)
            w = np.exp(a - a.max())
            log_z, se = a.max() + np.log(w.mean()), np.sqrt(((w**2).mean() / w.mean() ** 2 - 1) / n)
            rows = [np.ravel(x[:CHECKED]), np.ravel(u[:CHECKED]), np.ravel(g[:CHECKED])]
            return np.concatenate([[log_z, se], flat(theta), *rows])

        return lambda: run(start, jnp.float32(0)), answer

    return by_generator(build)
