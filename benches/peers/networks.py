"""Small networks; see benches/workloads/suite/networks.rs for what is computed."""

import jax
import jax.numpy as jnp
import numpy as np

from common import by_generator, flat, noise, nothing, parameters

BETA1, BETA2, EPS, RATE = 0.9, 0.999, 1e-8, 1e-3
CHECKED = 16


def mlp(layers, x):
    for l, (w, b) in enumerate(layers):
        x = x @ w if b is None else x @ w + b
        x = jax.nn.silu(x) if l + 1 < len(layers) else x
    return x


def adam_start(theta):
    zeros = jax.tree.map(jnp.zeros_like, theta)
    return theta, zeros, zeros


def adam(state, gradient, k):
    """One step after k earlier ones."""
    theta, m, v = state
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, gradient)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, gradient)
    c1, c2 = -jnp.expm1((k + 1) * jnp.log(BETA1)), -jnp.expm1((k + 1) * jnp.log(BETA2))
    theta = jax.tree.map(lambda t, m, v: t - RATE * (m / c1) / (jnp.sqrt(v / c2) + EPS), theta, m, v)
    return theta, m, v


def training(loss, theta, steps):
    """Variants of `steps` steps of Adam on `loss(theta, k)`: a scan, and a loop over one compiled step."""

    def step(state, k):
        value, gradient = jax.value_and_grad(loss)(state[0], k)
        return adam(state, gradient, k), value

    one = jax.jit(step)

    @jax.jit
    def scanned(state):
        return jax.lax.scan(step, state, jnp.arange(steps, dtype=jnp.float32))

    def looped():
        state, value = adam_start(theta), None
        for k in range(steps):
            state, value = one(state, jnp.float32(k))
        return state, value

    moment = lambda: flat(one(adam_start(theta), jnp.float32(0))[0][1])
    return {"scan": lambda: scanned(adam_start(theta)), "loop": looped}, moment


def regression(sizes):
    n, d, width = sizes["n"], sizes["d"], sizes["width"]
    theta = parameters([d, width, width, 1], 1)
    return theta, jnp.asarray(noise(n * d, 2).reshape(n, d)), jnp.asarray(noise(n, 3).reshape(n, 1))


def mlp_train(sizes):
    theta, x, y = regression(sizes)
    variants, moment = training(lambda theta, _: jnp.mean((mlp(theta, x) - y) ** 2), theta, sizes["steps"])
    return {name: (nothing, run, lambda _: moment()) for name, run in variants.items()}


def repeated(f, args, steps):
    """A variant that calls a function of one array several times, and answers with its first rows."""

    def run():
        out = None
        for _ in range(steps):
            out = f(*args)
        return out

    return nothing, run, lambda rows: np.ravel(rows[:CHECKED])


def mlp_input_grad(sizes):
    theta, x, _ = regression(sizes)
    rows = jax.jit(jax.vmap(jax.grad(lambda x, theta: mlp(theta, x)[0]), (0, None)))
    summed = jax.jit(jax.grad(lambda x, theta: jnp.sum(mlp(theta, x))))
    return {name: repeated(f, (x, theta), sizes["steps"]) for name, f in (("vmap", rows), ("sum", summed))}


def velocity_step(sizes):
    n, width = sizes["n"], sizes["width"]
    theta = parameters([3, width, width, width, 2], 1)
    x1 = jnp.asarray(noise(2 * n, 5).reshape(n, 2))

    def draws(key, k):
        a, b = jax.random.split(jax.random.fold_in(key, k.astype(jnp.int32)))
        return jax.random.uniform(a, (n, 1)), jax.random.normal(b, (n, 2))

    def loss(key):
        def of(theta, k):
            t, x0 = draws(key, k)
            at = (1 - t) * x0 + t * x1
            error = mlp(theta, jnp.concatenate([t, at], axis=1)) - (x1 - x0)
            return jnp.mean(jnp.sum(error**2, axis=1))

        return of

    def build(key, formulation):
        variants, moment = training(loss(key), theta, sizes["steps"])
        answer = lambda _: np.concatenate([*map(np.ravel, draws(key, jnp.float32(0))), moment()])
        return variants[formulation], answer

    return by_generator(build, ("scan", "loop"))


def divergence(sizes):
    n, d, width = sizes["n"], sizes["d"], sizes["width"]
    theta = parameters([d + 1, width, width, d], 1)
    t, x = jnp.asarray(noise(n, 2).reshape(n, 1)), jnp.asarray(noise(n * d, 3).reshape(n, d))

    def field(x, t, theta):
        return mlp(theta, jnp.concatenate([t, x], axis=-1))

    def by_jacobian(jacobian):
        return lambda x, t, theta: jax.vmap(lambda x, t: jnp.trace(jacobian(field)(x, t, theta)))(x, t)

    def by_jvp(x, t, theta):
        """All rows at once, one tangent direction after the other side by side."""
        f = lambda x: field(x, t, theta)
        along = lambda e: jax.jvp(f, (x,), (jnp.broadcast_to(e, x.shape),))[1] @ e
        return jnp.sum(jax.vmap(along)(jnp.eye(d)), axis=0)

    def by_linearised(x, t, theta):
        _, f = jax.linearize(lambda x: field(x, t, theta), x)
        return jnp.sum(jax.vmap(lambda e: f(jnp.broadcast_to(e, x.shape)) @ e)(jnp.eye(d)), axis=0)

    forms = {"jacfwd": by_jacobian(jax.jacfwd), "jacrev": by_jacobian(jax.jacrev), "jvp": by_jvp}
    forms["linearize"] = by_linearised
    return {name: repeated(jax.jit(f), (x, t, theta), sizes["steps"]) for name, f in forms.items()}
