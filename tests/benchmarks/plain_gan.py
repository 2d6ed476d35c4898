"""A GAN as Keras's guides write one: a `train_step` of one's own, for `fit.py` to be held against.

On TensorFlow and PyTorch; the same networks, losses and optimizers as in `handwritten_gan.py`.
"""

import keras
from handwritten_gan import BETA_1, DISCRIMINATOR, GENERATOR, RATE
from keras import layers, ops


def network(sizes: tuple[int, ...], last: str) -> keras.Model:
    """Dense layers with leaky ReLU."""
    hidden = [layers.Dense(size, "leaky_relu") for size in sizes[1:-1]]
    return keras.Sequential([keras.Input(sizes[:1]), *hidden, layers.Dense(sizes[-1], last)])


class PlainGAN(keras.Model):
    """Two networks, two optimizers, a `train_step` for the backend at hand."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = network(GENERATOR, "sigmoid")
        self.discriminator = network(DISCRIMINATOR, "linear")
        self.seed_generator = keras.random.SeedGenerator()
        names = ("discriminator_loss", "generator_loss", "real", "fake", "diversity")
        self.means = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    def compile(self) -> None:
        """Adam for each network."""
        super().compile()
        self.d_optimizer = keras.optimizers.Adam(RATE, BETA_1)
        self.g_optimizer = keras.optimizers.Adam(RATE, BETA_1)

    def discriminator_loss(self, x):
        """−½ log D(x) − ½ log(1 − D(G(z)))."""
        fake = ops.stop_gradient(self.generator(self.noise(x)))
        real, fake = self.discriminator(x), self.discriminator(fake)
        self.means["real"].update_state(ops.sigmoid(real))
        self.means["fake"].update_state(ops.sigmoid(fake))
        return 0.5 * ops.mean(ops.softplus(-real) + ops.softplus(fake))

    def generator_loss(self, x):
        """−½ log D(G(z))."""
        fake = self.generator(self.noise(x))
        self.means["diversity"].update_state(spread(fake) / spread(x))
        return 0.5 * ops.mean(ops.softplus(-self.discriminator(fake)))

    def noise(self, x):
        """z ~ N(0, I)."""
        return keras.random.normal((ops.shape(x)[0], GENERATOR[0]), seed=self.seed_generator)

    def train_step(self, data):
        """A step of the discriminator, then one of the generator."""
        x = data[0] if isinstance(data, tuple) else data
        step = _torch_step if keras.backend.backend() == "torch" else _tensorflow_step
        self.means["discriminator_loss"].update_state(
            step(lambda: self.discriminator_loss(x), self.discriminator, self.d_optimizer)
        )
        self.means["generator_loss"].update_state(
            step(lambda: self.generator_loss(x), self.generator, self.g_optimizer)
        )
        return {metric.name: metric.result() for metric in self.means.values()}


def spread(x):
    """Mean distance between neighbours in a batch."""
    return ops.mean(ops.norm(x[1:] - x[:-1], axis=-1))


def _tensorflow_step(loss_fn, network, optimizer):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = loss_fn()
    gradients = tape.gradient(loss, network.trainable_weights)
    optimizer.apply_gradients(zip(gradients, network.trainable_weights, strict=True))
    return loss


def _torch_step(loss_fn, network, optimizer):
    import torch

    network.zero_grad()
    loss = loss_fn()
    loss.backward()
    weights = network.trainable_weights
    gradients = [weight.value.grad for weight in weights]
    with torch.no_grad():
        optimizer.apply(gradients, weights)
    return loss.detach()
