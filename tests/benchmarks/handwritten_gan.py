"""A GAN's training loop as an expert would write it on each engine, to hold `GAN.fit` against.

One epoch of alternating steps on shuffled batches: the discriminator minimises
−½ log D(x) − ½ log(1 − D(G(z))), then the generator −½ log D(G(z)), each by Adam with a rate of
2e-4 and β₁ = 0.5, with fresh noise. Leaky ReLU of slope 0.2, a sigmoid for the pixels, logits for
D. The mathematics is written once, in the few operations that the engines share.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

GENERATOR = (64, 256, 512, 784)
DISCRIMINATOR = (784, 512, 256, 1)
RATE, BETA_1, BETA_2, EPSILON = 2e-4, 0.5, 0.999, 1e-7


def initial(sizes: tuple[int, ...], rng: np.random.Generator) -> list[np.ndarray]:
    """Glorot's uniform kernels, each followed by a bias of 0."""
    arrays = []
    for rows, columns in itertools.pairwise(sizes):
        limit = np.sqrt(6 / (rows + columns))
        arrays += [rng.uniform(-limit, limit, (rows, columns)), np.zeros(columns)]
    return [array.astype("float32") for array in arrays]


def network(engine: Any, p: list, x: Any) -> Any:
    """Dense layers, `engine` naming the functions; the last one is linear."""
    for index in range(0, len(p), 2):
        x = x @ p[index] + p[index + 1]
        if index < len(p) - 2:
            x = engine.leaky_relu(x)
    return x


def generate(engine: Any, g: list, z: Any) -> Any:
    """G(z)."""
    return engine.sigmoid(network(engine, g, z))


def discriminator_loss(engine: Any, d: list, x: Any, fake: Any) -> Any:
    """−½ log D(x) − ½ log(1 − D(G(z)))."""
    real, fake = network(engine, d, x), network(engine, d, fake)
    return 0.5 * engine.mean(engine.softplus(-real) + engine.softplus(fake))


def generator_loss(engine: Any, g: list, d: list, z: Any) -> Any:
    """−½ log D(G(z))."""
    return 0.5 * engine.mean(engine.softplus(-network(engine, d, generate(engine, g, z))))


def epoch(engine: str, x: np.ndarray, batch: int = 128) -> Callable[[], float]:
    """A function that trains for one epoch and returns the sum of the last step's two losses.

    Args:
        engine: `"jax"`, `"tensorflow"` or `"torch"`.
        x: float32 of shape (n, 784), from 0 to 1.
        batch: Examples in a batch.
    """
    rng = np.random.default_rng(0)
    start = initial(GENERATOR, rng), initial(DISCRIMINATOR, rng)
    step = {"jax": _jax, "torch": _torch, "tensorflow": _tensorflow}[engine](*start, x)

    def run() -> float:
        order = rng.permutation(len(x))
        total = [step(order[i : i + batch]) for i in range(0, len(x), batch)]
        return float(total[-1])  # and wait for the last step

    return run


def _jax(g, d, x):
    import jax
    from jax import numpy as jnp

    class engine:
        mean, sigmoid, softplus = jnp.mean, jax.nn.sigmoid, jax.nn.softplus
        leaky_relu = staticmethod(lambda a: jax.nn.leaky_relu(a, 0.2))

    def adam(p, m, v, t, gradient):
        m = jax.tree.map(lambda a, b: BETA_1 * a + (1 - BETA_1) * b, m, gradient)
        v = jax.tree.map(lambda a, b: BETA_2 * a + (1 - BETA_2) * b * b, v, gradient)
        rate = RATE * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        p = jax.tree.map(lambda a, b, c: a - rate * b / (jnp.sqrt(c) + EPSILON), p, m, v)
        return p, m, v

    @jax.jit
    def step(state, batch):
        (g, *of_g), (d, *of_d), t, key = state
        t, (key, first, second) = t + 1, jax.random.split(key, 3)
        shape = (len(batch), GENERATOR[0])
        fake = generate(engine, g, jax.random.normal(first, shape))
        d_loss, gradient = jax.value_and_grad(lambda d: discriminator_loss(engine, d, batch, fake))(
            d
        )
        d, *of_d = adam(d, *of_d, t, gradient)
        z = jax.random.normal(second, shape)
        g_loss, gradient = jax.value_and_grad(lambda g: generator_loss(engine, g, d, z))(g)
        g, *of_g = adam(g, *of_g, t, gradient)
        return ((g, *of_g), (d, *of_d), t, key), d_loss + g_loss

    def player(arrays):
        zeros = [jnp.zeros_like(a) for a in arrays]
        return [jnp.asarray(a) for a in arrays], zeros, zeros

    state = player(g), player(d), jnp.array(0.0), jax.random.key(0)

    def run(rows):
        nonlocal state
        state, loss = step(state, x[rows])
        return loss

    return run


def _torch(g, d, x):
    import torch
    from torch.nn import functional

    class engine:
        mean, sigmoid, softplus = torch.mean, torch.sigmoid, functional.softplus
        leaky_relu = staticmethod(lambda a: functional.leaky_relu(a, 0.2))

    g, d = ([torch.tensor(a, requires_grad=True) for a in arrays] for arrays in (g, d))
    of_g, of_d = (torch.optim.Adam(p, RATE, (BETA_1, BETA_2), EPSILON, fused=True) for p in (g, d))
    data = torch.from_numpy(x)

    def descend(optimizer, p, loss):
        for variable, gradient in zip(p, torch.autograd.grad(loss, p), strict=True):
            variable.grad = gradient  # of this player alone
        optimizer.step()

    def run(rows):
        batch = data[rows]
        with torch.no_grad():
            fake = generate(engine, g, torch.randn(len(batch), GENERATOR[0]))
        d_loss = discriminator_loss(engine, d, batch, fake)
        descend(of_d, d, d_loss)
        g_loss = generator_loss(engine, g, d, torch.randn(len(batch), GENERATOR[0]))
        descend(of_g, g, g_loss)
        return (d_loss + g_loss).detach()

    return run


def _tensorflow(g, d, x):
    import tensorflow as tf

    class engine:
        mean, sigmoid, softplus = tf.reduce_mean, tf.sigmoid, tf.math.softplus
        leaky_relu = staticmethod(lambda a: tf.nn.leaky_relu(a, 0.2))

    g, d = ([tf.Variable(a) for a in arrays] for arrays in (g, d))
    moments = {id(a): [tf.Variable(tf.zeros_like(a)) for _ in range(2)] for a in (*g, *d)}
    t = tf.Variable(0.0)

    def descend(p, gradients):
        rate = RATE * tf.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        for a, gradient in zip(p, gradients, strict=True):
            m, v = moments[id(a)]
            m.assign(BETA_1 * m + (1 - BETA_1) * gradient)
            v.assign(BETA_2 * v + (1 - BETA_2) * gradient * gradient)
            a.assign_sub(rate * m / (tf.sqrt(v) + EPSILON))

    @tf.function(jit_compile=True)
    def step(batch):
        t.assign_add(1.0)
        shape = (tf.shape(batch)[0], GENERATOR[0])
        fake = generate(engine, g, tf.random.normal(shape))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(d)
            d_loss = discriminator_loss(engine, d, batch, fake)
        descend(d, tape.gradient(d_loss, d))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(g)
            g_loss = generator_loss(engine, g, d, tf.random.normal(shape))
        descend(g, tape.gradient(g_loss, g))
        return d_loss + g_loss

    return lambda rows: step(x[rows])
