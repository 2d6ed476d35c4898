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

EXAMPLES, BATCH, PIXELS, CODE = 64, 16, 12, 2
KINDS = ("vae", "gan", "aae")


def results(kind, share=None):
    """Logs of four steps and of validation, and the weights and optimizer state that they lead to.

    Args:
        kind: Which model.
        share: Which half of each batch this process sees, 0 or 1; `None` for all of it.
    """
    import keras

    data, model = examples(), _model(kind)
    tensorflow = keras.backend.backend() == "tensorflow"
    if share is not None and not tensorflow:  # which shares out the data itself
        data = share_of(data, share)
    if kind == "vae":
        data = np.hstack([data["x"], data["z"]])
    steps = []
    record = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: steps.append(logs))
    # Adam divides a gradient by its size, which would make rounding large where it is almost 0.
    model.compile(optimizer=keras.optimizers.Adam(1e-2, epsilon=1e-3))
    if share is not None and keras.backend.backend() == "torch":
        average_gradients(model)
    if share is not None and tensorflow:
        steps = list(steps_of_many_hosts(model, data))
    else:
        size = BATCH if share is None else BATCH // 2
        model.fit(data, batch_size=size, shuffle=False, verbose=0, callbacks=[record])
    found = {f"step {i} {k}": float(v) for i, log in enumerate(steps) for k, v in log.items()}
    if share is None:
        logs = model.evaluate(data, batch_size=BATCH, verbose=0, return_dict=True)
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


def examples():
    """Examples x and their noise z."""
    rng = np.random.default_rng(0)
    x = rng.random((EXAMPLES, PIXELS), dtype="float32")
    return {"x": x, "z": rng.normal(size=(EXAMPLES, CODE)).astype("float32")}


def share_of(data, index):
    """The first or the second half of each batch."""
    return {
        name: value.reshape(-1, 2, BATCH // 2, value.shape[1])[:, index].reshape(-1, value.shape[1])
        for name, value in data.items()
    }


def _model(kind):
    import keras

    from kerasae import nets
    from kerasae.distributions import Normal
    from kerasae.models.adversarial import AdversarialAutoencoder
    from kerasae.models.gan import GAN
    from kerasae.models.variational import VariationalAutoencoder

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

        def _example(self, x):
            return x[:, :PIXELS]

        def posterior(self, x, training=False):
            return Given(super().posterior(x[:, :PIXELS], training), x[:, PIXELS:])

    keras.utils.set_random_seed(1)
    if kind == "vae":
        return WithNoise(*nets.mlp((PIXELS,), CODE, (16,), posterior="diagonal"))
    if kind == "gan":
        return GAN.mlp((PIXELS,), CODE, (16,), discriminator_steps=2, average=0.9)
    return AdversarialAutoencoder(*nets.mlp((PIXELS,), CODE, (16,)))


def steps_of_many_hosts(model, data):
    """TensorFlow: the steps that `fit` takes, since Keras's raises with several hosts."""
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    model.optimizer.build(model.trainable_variables)
    batches = tf.data.Dataset.from_tensor_slices(data).batch(BATCH)

    @tf.function
    def step(batch):
        return strategy.run(model.train_step, args=(batch,))

    for batch in strategy.experimental_distribute_dataset(batches):
        yield step(batch)


def average_gradients(model):
    """PyTorch: each gradient becomes its mean over all processes before an optimizer sees it."""
    import torch.distributed

    def mean(gradient):
        gradient = gradient.clone()
        torch.distributed.all_reduce(gradient)
        return gradient / torch.distributed.get_world_size()

    for variable in model.trainable_variables:
        variable.value.register_hook(mean)


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
        for kind in KINDS:
            np.savez(Path(folder) / f"{how}-{kind}-{share}.npz", **results(kind, share))


if __name__ == "__main__":
    main(*sys.argv[1:])
