"""Training loops as an expert would write them on each engine, for `fit.py` to be held against.

One epoch of Adam on shuffled batches, the loss a binary cross entropy per pixel from logits, or for
the variational model the bound in nats. The models' mathematics is written once, in the few
operations that the engines share.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

# Inputs and outputs of the layers; a tied network has only the first half's kernels, and a
# variational one gives 16 means and 16 log-variances.
LAYERS = {
    "plain": ((784, 512), (512, 32), (32, 512), (512, 784)),
    "denoising": ((784, 512), (512, 32), (32, 512), (512, 784)),
    "tied": ((784, 300), (300, 150), (150, 300), (300, 784)),
    "sparse": ((784, 512), (512, 784)),
    "variational": ((784, 512), (512, 32), (16, 512), (512, 784)),
    "quantized": ((784, 512), (512, 32), (32, 512), (512, 784)),
    "diffusion": ((785, 512), (512, 512), (512, 784)),
}
CODEBOOK, COMMITMENT = (256, 32), 0.25
NOISE = {"denoising": 784, "variational": 16, "diffusion": 785}  # numbers of an example's noise


def initial(name: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Glorot's uniform kernels, and biases of 0: kernels first, then a codebook, then biases."""
    pairs = LAYERS[name]
    own = pairs[: len(pairs) // 2] if name == "tied" else pairs
    limits = [np.sqrt(6 / sum(pair)) for pair in own]
    kernels = [rng.uniform(-r, r, pair) for r, pair in zip(limits, own, strict=True)]
    if name == "quantized":
        kernels.append(rng.uniform(-1, 1, CODEBOOK))
    return [a.astype("float32") for a in (*kernels, *(np.zeros(pair[1]) for pair in pairs))]


def loss(name: str, engine: Any, p: list, x: Any, noise: Any, target: float, weight: float) -> Any:
    """L(x, g(f(x̃))) + Ω(h), `engine` naming the functions."""
    if name == "diffusion":
        return velocity_error(engine, p[:3], p[3:], x, noise)
    depth = len(LAYERS[name])
    kernels, biases = p[:-depth], p[-depth:]
    if name == "quantized":
        *kernels, codebook = kernels
    if name == "tied":
        kernels = [*kernels, *(engine.transpose(kernel) for kernel in kernels[::-1])]
    h = x + noise if name == "denoising" else x
    omega = kl = 0.0
    fixed = engine.stop_gradient
    for index, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        h = h @ kernel + bias
        if index == depth - 1:
            continue  # logits
        if name == "sparse":
            h = engine.sigmoid(h)
            mean = h.mean(0) if hasattr(h, "mean") else engine.mean(h, 0)
            far = target * engine.log(target / mean)
            far = far + (1 - target) * engine.log((1 - target) / (1 - mean))
            omega = weight * engine.sum(far)
        elif name == "tied":
            h = engine.elu(h)
        elif index != depth // 2 - 1:  # the code is linear
            h = engine.relu(h)
        elif name == "quantized":
            far = engine.sum(codebook**2, 1) - 2 * h @ engine.transpose(codebook)
            q = engine.take(codebook, engine.argmin(far))
            omega = COMMITMENT * engine.mean((h - fixed(q)) ** 2) + engine.mean((fixed(h) - q) ** 2)
            h = h + fixed(q - h)
        elif name == "variational":
            mean, log_variance = h[:, :16], h[:, 16:]
            kl = 0.5 * engine.sum(engine.exp(log_variance) + mean * mean - 1 - log_variance)
            h = mean + engine.exp(0.5 * log_variance) * noise
    if name == "variational":
        return (engine.sum(engine.softplus(h) - x * h) + kl) / noise.shape[0]
    return engine.mean(engine.softplus(h) - x * h) + omega


def velocity_error(engine: Any, kernels: list, biases: list, x: Any, noise: Any) -> Any:
    """‖v − v̂(x + σε, σ)‖² for each number, with v = (ε − σx)/√(1 + σ²) and log σ ~ N(−½, 1.2²)."""
    noise, level = noise[:, :-1], -0.5 + 1.2 * noise[:, -1:]
    sigma = engine.exp(level)
    share = 1 / engine.sqrt(1 + sigma * sigma)
    h = engine.concat([share * (x + sigma * noise), level / 4], 1)
    for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
        h = engine.relu(h @ kernel + bias)
    v = h @ kernels[-1] + biases[-1]
    return engine.mean((share * (noise - sigma * x) - v) ** 2)


def standard(x: np.ndarray) -> np.ndarray:
    """Return x with the mean 0 and the deviation 1."""
    centered = x - x[:10_000].mean(axis=0)
    return centered / centered[:10_000].std()


def epoch(
    engine: str, name: str, x: np.ndarray, batch: int, target: float, weight: float, sigma: float
) -> Callable[[], float]:
    """A function that trains for one epoch and returns its last step's loss."""
    rng = np.random.default_rng(0)
    start = initial(name, rng)
    x = standard(x) if name == "diffusion" else x
    make = {"jax": _jax, "torch": _torch, "tensorflow": _tensorflow}[engine]
    step = make(name, start, x, target, weight, sigma)

    def run() -> float:
        order = rng.permutation(len(x))
        total = [step(order[i : i + batch]) for i in range(0, len(x), batch)]
        return float(total[-1])  # and wait for the last step

    return run


def _jax(name, start, x, target, weight, sigma):
    import jax
    from jax import numpy as jnp

    class engine:
        transpose, exp, log, sum, mean = jnp.transpose, jnp.exp, jnp.log, jnp.sum, jnp.mean
        sigmoid, elu, relu, softplus = jax.nn.sigmoid, jax.nn.elu, jax.nn.relu, jax.nn.softplus
        sqrt, concat = jnp.sqrt, jnp.concatenate
        stop_gradient = jax.lax.stop_gradient
        argmin = staticmethod(lambda a: jnp.argmin(a, 1))
        take = staticmethod(lambda a, k: a[k])

    def loss_fn(p, batch, key):
        size = NOISE.get(name)
        noise = jax.random.normal(key, (len(batch), size)) if size else None
        noise = sigma * noise if name == "denoising" else noise
        return loss(name, engine, p, batch, noise, target, weight)

    @jax.jit
    def step(state, batch):
        p, m, v, t, key = state
        key, now = jax.random.split(key)
        value, g = jax.value_and_grad(loss_fn)(p, batch, now)
        t = t + 1
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        p = jax.tree.map(lambda a, b, c: a - rate * b / (jnp.sqrt(c) + 1e-7), p, m, v)
        return (p, m, v, t, key), value

    zeros = [jnp.zeros_like(a) for a in start]
    state = ([jnp.asarray(a) for a in start], zeros, zeros, jnp.array(0.0), jax.random.key(0))

    def run(rows):
        nonlocal state
        state, value = step(state, x[rows])
        return value

    return run


def _torch(name, start, x, target, weight, sigma):
    import torch
    from torch.nn import functional

    class engine:
        transpose = staticmethod(lambda a: a.T)
        exp, log, sum, mean = torch.exp, torch.log, torch.sum, torch.mean
        sigmoid, relu, sqrt, concat = torch.sigmoid, torch.relu, torch.sqrt, torch.cat
        elu, softplus = functional.elu, functional.softplus
        stop_gradient = staticmethod(lambda a: a.detach())
        argmin = staticmethod(lambda a: a.argmin(1))
        take = staticmethod(lambda a, k: a[k])

    p = [torch.tensor(a, requires_grad=True) for a in start]
    optimizer = torch.optim.Adam(p, 1e-3, fused=True)
    data = torch.from_numpy(x)

    def run(rows):
        batch = data[rows]
        size = NOISE.get(name)
        noise = torch.randn(len(batch), size) if size else None
        noise = sigma * noise if name == "denoising" else noise
        value = loss(name, engine, p, batch, noise, target, weight)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.detach()

    return run


def _tensorflow(name, start, x, target, weight, sigma):
    import tensorflow as tf

    class engine:
        transpose, sum, mean = tf.transpose, tf.reduce_sum, tf.reduce_mean
        exp, log, sqrt, concat = tf.exp, tf.math.log, tf.sqrt, tf.concat
        sigmoid, elu, relu, softplus = tf.sigmoid, tf.nn.elu, tf.nn.relu, tf.math.softplus
        stop_gradient, take = tf.stop_gradient, tf.gather
        argmin = staticmethod(lambda a: tf.argmin(a, 1))

    p = [tf.Variable(a) for a in start]
    m, v = ([tf.Variable(tf.zeros_like(a)) for a in p] for _ in range(2))
    t = tf.Variable(0.0)

    @tf.function(jit_compile=True)
    def step(batch):
        with tf.GradientTape() as tape:
            size = NOISE.get(name)
            noise = tf.random.normal((batch.shape[0], size)) if size else None
            noise = sigma * noise if name == "denoising" else noise
            value = loss(name, engine, p, batch, noise, target, weight)
        t.assign_add(1.0)
        rate = 1e-3 * tf.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        for a, b, c, g in zip(
            p, m, v, map(tf.convert_to_tensor, tape.gradient(value, p)), strict=True
        ):
            b.assign(0.9 * b + 0.1 * g)
            c.assign(0.999 * c + 0.001 * g * g)
            a.assign_sub(rate * b / (tf.sqrt(c) + 1e-7))
        return value

    return lambda rows: step(x[rows])
