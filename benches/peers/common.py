"""What all workloads share: numbers that are the same bits in Rust, and timing."""

import statistics
import time

import jax
import numpy as np


def noise(n, seed):
    """Pseudo-random float32 in (-1, 1): 32-bit mixing of the index, as `noise` in benches/workloads/suite/mod.rs."""
    x = np.arange(n, dtype=np.uint64) + np.uint64(seed * 0x9E3779B9)
    x &= np.uint64(0xFFFFFFFF)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= x >> np.uint64(shift)
        x = (x * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(16)
    return ((x.astype(np.float64) + 0.5) / 2.0**31 - 1.0).astype(np.float32)


def padded(n):
    """Each array of the Rust layout takes a multiple of four places."""
    return -(-n // 4) * 4


def parameters(sizes, seed, output_bias=True):
    """Weights and biases of a network, a list of (w, b), with the bits of `parameters` in suite/networks.rs."""
    shapes = []
    for l, (a, b) in enumerate(zip(sizes, sizes[1:])):
        shapes.append(((a, b), np.sqrt(3.0 / a)))
        if output_bias or l + 2 < len(sizes):
            shapes.append(((b,), 0.1))
    numbers = noise(sum(padded(int(np.prod(shape))) for shape, _ in shapes), seed).astype(np.float64)
    parts, at = [], 0
    for shape, scale in shapes:
        n = int(np.prod(shape))
        parts.append(jax.numpy.asarray(numbers[at : at + n].reshape(shape) * scale, "float32"))
        at += padded(n)
    return list(zip(parts[::2], parts[1::2] if output_bias else [*parts[1::2], None]))


def flat(layers):
    """A tree of layers as one list of numbers, in the order of the Rust layout."""
    parts = [np.ravel(part) for w, b in layers for part in (w, b) if part is not None]
    return np.concatenate([np.pad(part, (0, padded(part.size) - part.size)) for part in parts])


def seconds(run, repeats):
    """Wall times of `run`, which returns arrays, after one call that compiles."""
    jax.block_until_ready(run())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return sorted(times)


def fastest(variants, trials=2):
    """The variant with the shortest median of a few runs: its name, and all medians by name.

    A variant is a function that sets what has to be set globally, the function to run, and one that makes an answer of what
    it returns.
    """
    found = {}
    for name, (configure, run, _) in variants.items():
        configure()
        found[name] = statistics.median(seconds(run, trials))
    return min(found, key=found.get), found


def nothing():
    """A variant that sets nothing."""


GENERATORS = {
    "threefry": ("threefry2x32", False),
    "threefry, partitionable": ("threefry2x32", True),
    "rbg": ("rbg", True),
    "unsafe_rbg": ("unsafe_rbg", True),
}


def by_generator(build, formulations=("",)):
    """Variants of a sampler, one a generator and formulation. `build(key, formulation)` gives what to run, and the answer."""
    variants = {}
    for name, (implementation, partitionable) in GENERATORS.items():
        for formulation in formulations:

            def configure(partitionable=partitionable):
                jax.config.update("jax_threefry_partitionable", partitionable)

            label = f"{name}, {formulation}" if formulation else name
            configure()
            variants[label] = (configure, *build(jax.random.key(1, impl=implementation), formulation))
    return variants
