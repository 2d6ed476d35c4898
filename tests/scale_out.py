"""Trains small models on one device, on two, or in two processes, to be held against each other.

    python scale_out.py FOLDER devices                 two virtual devices in this process
    python scale_out.py FOLDER processes INDEX PORT    one of two processes

Noise comes with the data, and no network has BatchNormalization or Dropout: what is left is
arithmetic, which must not depend on how many share the work.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

import numpy as np

EXAMPLES, BATCH, PIXELS, CODE, CLASSES, WORDS = 64, 16, 12, 2, 3, 5
KINDS = (
    "plain",
    "denoising",
    "sparse",
    "contractive",
    "stacked",
    "predictive",
    "classifier",
    "vae",
    "conditional",
    "gan",
    "aae",
    "semi_supervised",
    "quantized",
    "prior",
    "diffusion",
)


# One of each kind of number that a batch shares: a mean, Ω, weights, labels of some, two players, a
# codebook, the rows of an embedding. TensorFlow and JAX take some four seconds to trace each.
VARIED = ("plain", "sparse", "vae", "classifier", "gan", "semi_supervised", "quantized", "prior")


def kinds(way):
    """The models that a way of sharing is tried on.

    All of them on PyTorch, where each of two processes sees half of a batch. How a message gets to
    another process does not depend on the model.
    """
    if os.environ["KERAS_BACKEND"] == "torch":
        return KINDS
    return VARIED if way == "devices" else ("vae", "gan")


def results(kind, share=None):
    """Logs of four steps and of validation, and the weights and optimizer state that they lead to.

    Args:
        kind: Which model.
        share: Which half of each batch this process sees, 0 or 1; `None` for all of it.
    """
    import keras

    data, model = data_of(kind), _model(kind)
    tensorflow = keras.backend.backend() == "tensorflow"
    if share is not None and not tensorflow:  # which shares out the data itself
        data = share_of(data, share)
    steps = []
    record = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: steps.append(logs))
    # Adam divides a gradient by its size, which would make rounding large where it is almost 0.
    model.compile(optimizer=keras.optimizers.Adam(1e-2, epsilon=1e-3))
    x, y, weight = data
    if share is not None and tensorflow:
        steps = list(steps_of_many_hosts(model, data))
    else:
        size = BATCH if share is None else BATCH // 2
        settings = {"batch_size": size, "shuffle": False, "verbose": 0, "callbacks": [record]}
        model.fit(x, y, sample_weight=weight, **settings)
    found = {f"step {i} {k}": float(v) for i, log in enumerate(steps) for k, v in log.items()}
    if share is None:
        logs = model.evaluate(x, y, BATCH, sample_weight=weight, verbose=0, return_dict=True)
        found |= {f"validation {name}": float(value) for name, value in logs.items()}
    return found | _state(model)


def start(kind):
    """The weights before the first step."""
    return _state(_model(kind))


def _state(model):
    from keras import ops

    parts = {"weight": model.weights}
    if getattr(model, "optimizer", None) is not None:
        parts["optimizer"] = model.optimizer.variables
    return {
        f"{name} {i}": ops.convert_to_numpy(variable)
        for name, variables in parts.items()
        for i, variable in enumerate(variables)
    }


def data_of(kind):
    """x, y and weights: noise comes along, and labels that half of the examples have."""
    rng = np.random.default_rng(0)
    x = rng.random((EXAMPLES, PIXELS), dtype="float32")
    z = rng.normal(size=(EXAMPLES, CODE)).astype("float32")
    weight = rng.random(EXAMPLES, dtype="float32")
    label = rng.integers(0, CLASSES, EXAMPLES)
    some = np.where(rng.random(EXAMPLES) < 0.5, label, -1)  # unequally many in the halves
    with_noise, one_hot = np.hstack([x, z]), np.eye(CLASSES, dtype="float32")[label]
    return {
        "denoising": (x + 0.1 * rng.random(x.shape, dtype="float32"), x, weight),
        "classifier": (x, some, weight),
        "sparse": (x, None, None),  # its Ω is one number of the batch: weights make it another
        "vae": (with_noise, None, weight),
        "conditional": ({"x": with_noise, "condition": label}, None, None),
        "gan": ({"x": x, "z": z}, None, None),
        "aae": ({"x": x, "z": z}, None, None),
        "semi_supervised": ({"x": x, "z": np.hstack([z, one_hot])}, some, weight),
        "prior": (rng.integers(0, WORDS, (EXAMPLES, 4)), label, weight),
    }.get(kind, (x, None, weight))


def share_of(data, index):
    """The first or the second half of each batch."""
    import keras

    def half(value):
        batches = value.reshape(-1, 2, BATCH // 2, *value.shape[1:])
        return batches[:, index].reshape(-1, *value.shape[1:])

    return keras.tree.map_structure(lambda v: v if v is None else half(v), data)


def _model(kind):
    import keras

    import kerasae
    from kerasae import nets
    from kerasae.models.variational import VariationalAutoencoder
    from kerasae.penalties import MeanActivation
    from kerasae.probability import Normal
    from kerasae.quantizers import VectorQuantizer

    class Given(Normal):
        """q(z|x) whose samples μ + σε are made of given ε."""

        def __init__(self, q, noise):
            super().__init__(q.mean, q.log_variance)
            self.noise = noise

        def sample(self, count=None, seed=None):
            return (self.mean + self.stddev * self.noise)[None]

    class WithNoise(VariationalAutoencoder):
        """A VAE whose examples come with their noise, in further columns."""

        def check_batch(self, x, y, sample_weight):
            pass

        def target(self, x, y, found):
            return super().target(x, y, found)[:, :PIXELS]

        def posterior(self, x, training=False):
            return Given(super().posterior(x[:, :PIXELS], training), x[:, PIXELS:])

    class ConditionalWithNoise(kerasae.ConditionalVariationalAutoencoder):
        """The same for a conditional one."""

        def check_batch(self, x, y, sample_weight):
            pass

        def target(self, x, y, found):
            return super().target(x, y, found)[:, :PIXELS]

        def posterior(self, x, training=False):
            examples = x.x
            q = super().posterior(x._replace(x=examples[:, :PIXELS]), training)
            return Given(q, examples[:, PIXELS:])

    class OneLevel(kerasae.schedules.LogNormal):
        """Always the same level."""

        def draw(self, u):
            return 0.7 * keras.ops.ones_like(u)

    class DiffusionWithNoise(kerasae.Diffusion):
        """Diffusion whose noise is a function of the example."""

        def _drawn(self, found, training):
            object.__setattr__(self, "_start_here", keras.ops.sin(50 * found["x"]))
            return super()._drawn(found, training)

        def draw_start(self, shape, seed):
            return self._start_here

    keras.utils.set_random_seed(1)
    size = {"semi_supervised": CODE + CLASSES}.get(kind, CODE)
    networks = nets.mlp((PIXELS,), size, (16,), code_activation="sigmoid")
    variational = nets.mlp((PIXELS,), CODE, (16,), posterior="diagonal")
    label = (CLASSES,)
    regularized = keras.layers.Dense(CODE, kernel_regularizer=keras.regularizers.L2(0.1))
    plain = keras.Sequential([keras.Input((PIXELS,)), regularized]), networks[1]
    return {
        "plain": lambda: kerasae.Autoencoder(*plain, penalty=keras.regularizers.L1(1e-2)),
        "denoising": lambda: kerasae.DenoisingAutoencoder(*networks, keras.layers.Identity()),
        "sparse": lambda: kerasae.SparseAutoencoder(*networks, MeanActivation(0.1)),
        "contractive": lambda: kerasae.ContractiveAutoencoder(*networks, weight=0.1),
        "stacked": lambda: kerasae.StackedAutoencoder((8, 4), input_shape=(PIXELS,)),
        "predictive": lambda: kerasae.PredictiveSparseDecomposition((PIXELS,), 20, steps=3),
        "classifier": lambda: kerasae.Classifier(
            networks[0], CLASSES, decoder=networks[1], copy=False
        ),
        "vae": lambda: WithNoise(*variational),
        "conditional": lambda: ConditionalWithNoise(
            *nets.conditional_mlp((PIXELS,), label, CODE, (16,)), classes=CLASSES
        ),
        "gan": lambda: kerasae.GAN.mlp((PIXELS,), CODE, (16,), discriminator_steps=2, average=0.9),
        "aae": lambda: kerasae.AdversarialAutoencoder(*networks),
        "semi_supervised": lambda: kerasae.SemiSupervisedAdversarialAutoencoder(
            *networks, classes=CLASSES
        ),
        "quantized": lambda: kerasae.VectorQuantizedAutoencoder(
            *networks, VectorQuantizer(WORDS, decay=0.9, restart=None, k_means=False, seed=0)
        ),
        "diffusion": lambda: DiffusionWithNoise(
            nets.residual_mlp((PIXELS,), 16, 1), OneLevel(), average=0.9, standardize=False
        ),
        "prior": lambda: kerasae.CodePrior(
            nets.causal_transformer((4,), WORDS, classes=CLASSES, width=8), classes=CLASSES
        ),
    }[kind]()


def steps_of_many_hosts(model, data):
    """TensorFlow: the steps that `fit` takes, since Keras's raises with several hosts."""
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    model.optimizer.build(model.trainable_variables)
    while data[-1] is None:
        data = data[:-1]
    if len(data) == 3 and data[1] is None:  # weights without targets: Keras would drop them
        data = (data[0], data[0], data[2])
    batches = tf.data.Dataset.from_tensor_slices(data).batch(BATCH)
    model.make_train_function()

    @tf.function
    def step(batch):
        return strategy.run(model.train_step, args=(batch,))

    for batch in strategy.experimental_distribute_dataset(batches):
        yield step(batch)


@contextlib.contextmanager
def two_devices():
    """Two virtual devices, each of which sees half of every batch."""
    import keras

    if keras.backend.backend() == "jax":  # two by XLA_FLAGS
        devices = keras.distribution.list_devices()
        assert len(devices) == 2
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
        yield
    else:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        half = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(cpu, [half, half])
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        assert strategy.num_replicas_in_sync == 2
        with strategy.scope():
            yield


@contextlib.contextmanager
def one_of_two_processes(index, port):
    """This process and another one share each batch."""
    backend = os.environ["KERAS_BACKEND"]
    if backend == "jax":
        import jax

        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=index)
        import keras

        # Every process brings its own part of a batch, as here, or all of a `tf.data.Dataset`.
        everywhere = keras.distribution.DataParallel(
            devices=keras.distribution.list_devices(), auto_shard_dataset=False
        )
        keras.distribution.set_distribution(everywhere)
        yield
    elif backend == "torch":
        import torch.distributed

        store = f"tcp://localhost:{port}"
        torch.distributed.init_process_group("gloo", store, rank=index, world_size=2)
        yield
        torch.distributed.destroy_process_group()
    else:
        workers = [f"localhost:{port}", f"localhost:{port + 1}"]
        task = {"type": "worker", "index": index}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
        import tensorflow as tf

        with tf.distribute.MultiWorkerMirroredStrategy().scope():
            yield


def main(folder, how, index=None, port=None):
    scope = two_devices() if how == "devices" else one_of_two_processes(int(index), int(port))
    share = None if index is None else int(index)
    with scope:
        for kind in kinds(how):
            np.savez(Path(folder) / f"{how}-{kind}-{share}.npz", **results(kind, share))


if __name__ == "__main__":
    main(*sys.argv[1:])
