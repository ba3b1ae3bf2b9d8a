"""A Gram matrix, and systematic resampling; see benches/workloads/suite/arrays.rs."""

import jax
import jax.numpy as jnp
import numpy as np

from common import noise, nothing

CHECKED, SPREAD = 4, 3.0


def gram(sizes):
    n, k = sizes["n"], sizes["k"]
    x = jnp.asarray(noise(n * k, 1).reshape(n, k))
    forms = {
        "x @ x.T": jax.jit(lambda x: x @ x.T),
        "dot_general": jax.jit(lambda x: jax.lax.dot_general(x, x, (((1,), (1,)), ((), ())))),
    }
    return {name: (nothing, lambda f=f: f(x), lambda g: np.ravel(g[:CHECKED])) for name, f in forms.items()}


def by_search(method):
    def ancestors(sums, u, n):
        points = (jnp.arange(n) + u) * (sums[-1] / n)
        return jnp.minimum(jnp.searchsorted(sums, points, method=method), n - 1)

    return ancestors


def ends(sums, u, n):
    """How many points lie in the running sum up to each weight."""
    return jnp.clip(jnp.ceil(sums * (n / sums[-1]) - u), 0, n).astype(jnp.int32).at[-1].set(n)


def by_repeat(sums, u, n):
    counts = jnp.diff(ends(sums, u, n), prepend=0)
    return jnp.repeat(jnp.arange(n), counts, total_repeat_length=n)


def by_maximum(sums, u, n):
    """Each walker marks its first place, the largest mark so far owns a place."""
    first = jnp.concatenate([jnp.zeros(1, jnp.int32), ends(sums, u, n)[:-1]])
    return jax.lax.cummax(jnp.zeros(n, jnp.int32).at[first].max(jnp.arange(n, dtype=jnp.int32), mode="drop"))


def by_counting(sums, u, n):
    """Marks at first places, added up: the owner of a place is the number of walkers that began before it."""
    first = jnp.concatenate([jnp.zeros(1, jnp.int32), ends(sums, u, n)[:-1]])
    return jnp.cumsum(jnp.zeros(n, jnp.int32).at[first].add(1, mode="drop")) - 1


WAYS = {
    "search by bisection": by_search("scan"),
    "search by sorting": by_search("sort"),
    "repeat": by_repeat,
    "marks and maxima": by_maximum,
    "marks and sums": by_counting,
}
SCANS = {"cumsum": jnp.cumsum, "associative scan": lambda w: jax.lax.associative_scan(jnp.add, w)}


def resample(sizes):
    n = sizes["n"]
    a = jnp.asarray(noise(n, 1).astype(np.float64) * SPREAD, "float32")
    x, u = jnp.asarray(noise(n, 2)), jax.random.uniform(jax.random.key(3))
    variants = {}

    def answer(result):
        drawn, moved, log_mean = map(np.asarray, result)
        astray = np.count_nonzero(np.asarray(x)[drawn] != moved)
        return np.concatenate([[log_mean, astray], np.bincount(drawn, minlength=n)])

    for way, ancestors in WAYS.items():
        for scan, sums in SCANS.items():

            @jax.jit
            def run(a, x, u, ancestors=ancestors, sums=sums):
                top = jnp.max(a)
                w = jnp.exp(a - top)
                drawn = ancestors(sums(w), u, n)
                return drawn, x[drawn], top + jnp.log(jnp.mean(w))

            variants[f"{way}, {scan}"] = (nothing, lambda run=run: run(a, x, u), answer)

    return variants
