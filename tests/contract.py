"""What every model promises, asserted in one call.

    assert_contract(make_model, x, other_backends, tmp_path)

What a user of Keras expects: fit lowers the loss and moves every weight; validation has the same
metrics; the same seed gives the same run; compiled metrics and sample weights work without targets;
config, `.keras` and preset round trips give the same outputs, under the other backends too; bad
input is one sentence.

And the mathematics (`assert_mathematics`, for games too), as far as the model has what it is about:

- the loss is the sum of the logged parts (the KL times β) and of the weights' regularizers, and
  every metric counts examples, in training and in evaluation;
- the metric `penalty` of Ω = λ ‖h‖² is what NumPy finds for the codes of `encode`;
- `predict`, `reconstruct` and `decode(encode)` give the same;
- a corruption, and Dropout before each network that the constructor takes, act in training and
  nowhere else; without them, training and evaluation find the same numbers;
- an example of weight 0 is left out of every part, up to the number of examples in the mean;
- the gradient of the reconstruction alone reaches every kernel of encoder and decoder;
- the configuration has every argument of the constructor, and gives back another value of it;
- one step of Adam from the same file gives the same weights on all backends.

The contract does not know the formula of a part: a factor or a wrong sign inside `terms` passes, if
the loss still falls. It does not look at the bound by importance weights, at weights of examples in
a term that is one number of the batch, at mixed precision (but for games), several devices, or
speed. A model has tests of its own for these.
"""

import inspect
import json
import re
import tracemalloc
import zipfile

import keras
import numpy as np
import pytest
from other_backends import take_step

from kerasae.datasets import Split
from kerasae.engine import graphs
from kerasae.engine.noise import Places
from kerasae.models.base import Model
from kerasae.training.resume import resumable_fit


def assert_contract(
    make_model,
    x,
    other_backends,
    tmp_path,
    loss="mse",
    epochs=3,
    y=None,
    compiled=None,
    of_class=True,
    **mathematics,
):
    """Asserts the whole contract.

    Args:
        make_model: Returns a new, uncompiled model.
        x: Examples in [0, 1] it can learn from within `epochs`.
        other_backends: The fixture of that name.
        tmp_path: The fixture of that name.
        loss: Reconstruction term to compile with.
        epochs: How long to train.
        y: Labels, for a model that does not learn from `x` alone.
        compiled: What else to compile with than the loss and `metrics=["mae"]`, for such a model.
        of_class: Whether to assert what hangs on the class and not on its networks, too: targets,
            weights, bad input and the mathematics. One model of each class does.
        **mathematics: Further arguments of `assert_mathematics`.
    """
    if compiled is None:
        compiled = {"loss": loss, "metrics": ["mae"]}
    model, history = trained(make_model, x, y, compiled, epochs)
    assert_learns(model, history, {"reconstruction", "mae"} if y is None else {"cross_entropy"})
    assert_repeatable(make_model, x, y, compiled, epochs, model)
    if of_class and y is None:
        assert_targets_default_to_input(model, x)
    assert_round_trips(model, x, other_backends, tmp_path, y)
    if of_class:
        assert_bad_input_is_refused(model, x, loss, y)
        loss = compiled.get("loss")
        assert_mathematics(model, x, other_backends, tmp_path, y, loss, **mathematics)


def trained(make_model, x, y, compiled, epochs):
    keras.utils.set_random_seed(7)
    model = make_model()
    model.compile(optimizer=keras.optimizers.Adam(0.01), **compiled)
    before = model.evaluate(x, y, verbose=0, return_dict=True)
    start = [variable.numpy() for variable in model.trainable_variables]
    validation = (x,) if y is None else (x, y)
    history = model.fit(
        x, y, epochs=epochs, batch_size=16, validation_data=validation, verbose=0
    ).history
    return model, {"before": before["loss"], "start": start, **history}


def assert_learns(model, history, expected):
    before, start = history.pop("before"), history.pop("start")
    assert history["val_loss"][-1] < before, "training does not lower the loss"
    for variable, value in zip(model.trainable_variables, start, strict=True):
        assert np.abs(variable.numpy() - value).max() > 0, f"{variable.path} does not move"
    names = {name for name in history if not name.startswith("val_")}
    assert {"loss"} | expected <= names
    assert {f"val_{name}" for name in names} == {n for n in history if n.startswith("val_")}
    assert {m.name for m in model.metrics} - {"compile_metrics"} <= names
    assert all(np.isfinite(history[name]).all() for name in history)


def assert_repeatable(make_model, x, y, compiled, epochs, model):
    again, _ = trained(make_model, x, y, compiled, epochs)
    for one, two in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def assert_resumes(make_model, x, y, tmp_path):
    """Assert that a run that was killed goes on to the same weights."""

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    def fit(folder, *callbacks):
        keras.utils.set_random_seed(3)
        model = make_model()
        model.compile(optimizer="adam")
        options = {"epochs": 2, "seed": 0, "verbose": 0, "callbacks": list(callbacks)}
        resumable_fit(model, x, y, folder=folder, **options)
        return model

    whole = fit(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "parts", Kill())
    parts = fit(tmp_path / "parts")
    for one, two in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def assert_targets_default_to_input(model, x):
    alone = model.evaluate(x, verbose=0, return_dict=True)
    pairs = model.evaluate(x, x, verbose=0, return_dict=True)
    weighted = model.evaluate(
        x, sample_weight=np.full(len(x), 2.0, "float32"), verbose=0, return_dict=True
    )
    assert alone == pytest.approx(pairs, rel=1e-6), (alone, pairs)
    # A weight of 2 doubles the weighted loss; a compiled metric that is not weighted stays.
    assert weighted["reconstruction"] == pytest.approx(2 * alone["reconstruction"], rel=1e-5)
    assert weighted["mae"] == pytest.approx(alone["mae"], rel=1e-5)
    mae = np.abs(model.predict(x, verbose=0) - x).mean()
    assert alone["mae"] == pytest.approx(mae, rel=1e-4)
    before = [weight.copy() for weight in model.get_weights()]
    silent = np.zeros(len(x), "float32")
    history = model.fit(x, sample_weight=silent, epochs=1, verbose=0).history
    assert history["reconstruction"] == pytest.approx([0], abs=1e-7)
    model.set_weights(before)


def assert_round_trips(model, x, other_backends, tmp_path, y=None, examples=None):
    # `predict` takes x; `evaluate` takes it too, or `examples`, where these differ.
    examples = x if examples is None else examples
    expected = model.predict(x, verbose=0)

    twin = type(model).from_config(model.get_config())
    assert json.dumps(twin.get_config()) == json.dumps(model.get_config())
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(twin.predict(x, verbose=0), expected)

    path = tmp_path / "model.keras"
    model.save(path)
    # Keras on PyTorch names its own optimizers, which no other backend can import.
    config = zipfile.ZipFile(path).read("config.json")
    assert b"keras.src.backend" not in config
    assert json.loads(config)["compile_config"]["jit_compile"] == "auto"
    loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    for one, two in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    again, once = (each.evaluate(examples, y, verbose=0) for each in (loaded, model))
    assert again == pytest.approx(once, rel=1e-6)

    preset = tmp_path / "preset"
    model.save_to_preset(preset)
    restored = type(model).from_preset(preset)
    np.testing.assert_array_equal(restored.predict(x, verbose=0), expected)

    for saved in (path, preset):
        outputs = other_backends.outputs(saved, x, type(model))
        for backend, output in outputs.items():
            np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6, err_msg=backend)


def assert_bad_input_is_refused(model, x, loss, y=None, targets=True):
    assert_checked_without_a_copy(model, x, y)
    broken, infinite = x.copy(), x.copy()
    broken.flat[-1], infinite.flat[-1] = np.nan, np.inf
    bad = {
        "`x` is None": None,
        "expected at least one example": x[:0],
        "holds NaN or infinite values": broken,
        "NaN or infinite values, expected finite": infinite,
        r"`x` has shape .*, expected \(examples, ": x[..., None],
        "`x` is a Split, expected its images": Split(x, np.zeros(len(x), "int64")),
        "`x` is a str, expected an array": "digits",
        "`x` is a list of unequal or strange parts": [[1.0], [1.0, 2.0]],
        "holds integers up to 255": np.full(x.shape, 255, "uint8"),
    }
    if loss == "binary_crossentropy":
        bad["values from 0 to 2, expected values from 0 to 1"] = np.where(x > 0.5, 2.0, 0.0)
    weights = [weight.copy() for weight in model.get_weights()]
    for message, data in bad.items():
        for method in (model.fit, model.evaluate):
            with pytest.raises(ValueError, match=message) as error:
                method(data, y, verbose=0)
            assert _one_sentence(str(error.value)), error.value
    if targets or y is not None:
        with pytest.raises(ValueError, match=r"`x` has \d+, `\w+` has \d+"):
            model.fit(x, (x if y is None else y)[:-1], verbose=0)
    if targets and y is None:
        with pytest.raises(ValueError, match="as labels have, expected targets"):
            model.fit(x, np.arange(len(x)), verbose=0)
    with pytest.raises(ValueError, match="`class_weight` is given, expected `sample_weight`"):
        model.fit(x, y, class_weight={0: 1.0}, verbose=0)
    with pytest.raises(ValueError, match=r"`x` has \d+, `sample_weight` has \d+"):
        model.fit(x, y, sample_weight=np.ones(len(x) + 1), verbose=0)
    for one, two in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def _one_sentence(text: str) -> bool:
    return "\n" not in text and not re.search(r"[a-z]\. [A-Z]", text)


# The mathematics.

# Many changes of a model, and one step after each: fast where operations run one by one. JAX would
# compile each change. There the step that is the same on all backends stands for what is left out.
EAGER = keras.backend.backend() != "jax"
PENALTY = 0.1  # λ of Ω = λ ‖h‖²
RATE = 0.5  # of Dropout, and the deviation of Gaussian noise
BETA = 0.5  # of the KL


def assert_checked_without_a_copy(model, x, y=None):
    """Assert that `fit` looks at all examples where they are: they may fill half the memory."""
    count = 2**22 // x[0].nbytes
    many = np.resize(x, (count, *x.shape[1:]))
    labels = None if y is None else np.resize(y, (count, *y.shape[1:]))
    tracemalloc.start()
    model._checked(many, labels, None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < many.nbytes / 2, f"checking {many.nbytes} bytes takes {peak} more"


def assert_mathematics(
    model,
    x,
    other_backends,
    tmp_path,
    y=None,
    loss=None,
    inputs=None,
    factors=None,
    others=None,
    of_batch=(),
    reconstructed_by=("encoder", "decoder"),
    penalized=None,
):
    """Assert that the mathematics is there, with copies of the model.

    Args:
        model: A trained model.
        x: Examples.
        other_backends: The fixture of that name.
        tmp_path: The fixture of that name.
        y: Labels, for a model that takes them.
        loss: Reconstruction term to compile with, for a model that takes one.
        inputs: What `predict` takes, if that is not `x`.
        factors: Factors of parts in the loss. Those of the KL (β) and of a reconstruction
            (`reconstruction_weight`) are known, all others are 1.
        others: Other values of the constructor's arguments, for the configuration. Those of numbers
            and switches are found.
        of_batch: Names of parts that are one number of the batch: weights do not count there.
        reconstructed_by: Names of the networks that the gradient of the reconstruction must reach.
        penalized: Function of the model and `encode(x)` that returns the h of Ω(h), if they differ.
    """
    assert_config_is_complete(model, others or {})
    probe = Probe(model, x, y, loss, factors or {})
    assert_noise_acts_in_training_alone(probe, x if inputs is None else inputs)
    assert_penalty_is_its_formula(probe, penalized)
    assert_halves_agree(probe)
    if EAGER:
        assert_weight_zero_leaves_out(probe, of_batch)
        assert_reconstruction_moves(probe, reconstructed_by)
    assert_same_step_on_every_backend(model, x, y, loss, other_backends, tmp_path)


def arguments(cls):
    """Return the names of the constructor's arguments, and of the parents' that get its `**kwargs`.

    An argument of a parent without a default is not among them: the subclass gives it.
    """
    found = set()
    for parent in cls.__mro__[: cls.__mro__.index(Model)]:
        if "__init__" not in vars(parent):
            continue
        parameters = list(inspect.signature(parent.__init__).parameters.values())[1:]
        handed_on = [p for p in parameters if p.kind is p.VAR_KEYWORD]
        own = [p for p in parameters if p not in handed_on]
        found |= {p.name for p in own if not found or p.default is not p.empty}
        if not handed_on:
            break
    return found


def remade(model, **changes):
    """Return a copy with some arguments changed, if the constructor takes them, and without noise.

    There is no noise inside its networks, and its own noise is always that of an evaluation.
    """
    taken = arguments(type(model))
    serialize = keras.saving.serialize_keras_object
    changes = {name: serialize(value) for name, value in changes.items() if name in taken}
    twin = type(model).from_config({**model.get_config(), **changes})
    pair = model.weights, twin.weights
    if len(pair[0]) != len(pair[1]):  # an Ω had weights of its own
        pair = model.trainable_variables, twin.trainable_variables
    for ours, theirs in zip(*pair, strict=True):
        theirs.assign(ours.numpy())
    twin.noise = lambda training: Places(0)
    for layer in layers_of(twin):
        for number in ("rate", "stddev"):
            if hasattr(layer, number):
                setattr(layer, number, 0.0)
    return twin


def networks_of(model):
    """Return the networks that are attributes of a model and can learn, by their names."""
    attributes = {**vars(model), **getattr(model, "_modules", {})}  # the latter on PyTorch
    found = {name: part for name, part in attributes.items() if isinstance(part, keras.Model)}
    return {name: part for name, part in found.items() if part.trainable_variables}


def layers_of(model):
    return [layer for part in networks_of(model).values() for layer in graphs.layers_of(part)]


class Probe:
    """A copy of a model, to change and to observe with a learning rate of 0.

    If the constructor takes them, Ω is λ ‖h‖², the corruption is Gaussian noise, and each network
    begins with Dropout. This noise can be switched off. All other noise is the same in every step.
    """

    def __init__(self, model, x, y, loss, factors):
        self.x, self.y = x, y
        self.size = len(keras.tree.flatten(x)[0])
        own = networks_of(model)
        networks = {name: own[name] for name in sorted(arguments(type(model)) & set(own))}
        self.model = remade(
            model,
            corruption=keras.layers.GaussianNoise(RATE),
            condition_corruption=None,
            penalty=keras.regularizers.L2(PENALTY),
            **{name: _behind_dropout(network) for name, network in networks.items()},
        )
        self.noises = {}  # name → a layer, and which number of it says how much
        if "corruption" in arguments(type(model)):
            self.noises["the corruption"] = self.model.corruption, "stddev"
        for name in networks:
            dropout = getattr(self.model, name).get_layer("tried")
            self.noises[f"Dropout before `{name}`"] = dropout, "rate"
        self.factors = {"reconstruction": getattr(model, "reconstruction_weight", 1.0)}
        if "kl" in self.model.parts and hasattr(self.model, "beta"):
            self.model.beta.assign(BETA)
            self.factors["kl"] = 0.0 if getattr(model, "prior_kind", None) == "none" else BETA
        self.factors |= factors
        loss = {"loss": loss} if loss else {}
        self.model.compile(keras.optimizers.SGD(0.0), run_eagerly=EAGER, **loss)

    def switch(self, on, *names):
        """Switch the noises of these names on or off, or all."""
        for name in names or self.noises:
            layer, number = self.noises[name]
            self.change(layer, number, RATE if on else 0.0)

    def change(self, part, number, value):
        """Change a number of a layer or regularizer; steps are compiled anew."""
        setattr(part, number, value)
        self.model.train_function = self.model.test_function = self.model.predict_function = None

    def evaluate(self, count=None, **weights):
        """Return the logs of an evaluation of all examples, or the first few, as one batch."""
        return self._logs("evaluation", self.model.test_on_batch, count, weights)

    def train(self, count=None, **weights):
        """Return the logs of one step of training."""
        return self._logs("training", self.model.train_on_batch, count, weights)

    def batch(self, count=None):
        """Return all examples, or the first few, and their labels."""

        # fails with arrays: on PyTorch, `train_on_batch` hands them to `terms` as they are.
        def some(part):
            return keras.ops.convert_to_tensor(part[:count])

        return keras.tree.map_structure(some, self.x), None if self.y is None else some(self.y)

    def _logs(self, where, method, count, weights):
        """Return the logs if they add up, and every metric has counted examples."""
        model = self.model
        model.reset_metrics()
        logs = method(*self.batch(count), return_dict=True, **weights)
        logs = {name: float(value) for name, value in logs.items()}
        for metric in model.metrics:
            if hasattr(metric, "count"):
                assert metric.count.numpy() > 0, f"`{metric.name}` counts nothing in {where}"
        if getattr(model, "importance_samples", 1) > 1:
            return logs
        parts = {name: self.factors.get(name, 1.0) * logs[name] for name in model.parts}
        regular = [v for v in model.trainable_variables if getattr(v, "regularizer", None)]
        added = sum(float(keras.ops.convert_to_numpy(v.regularizer(v.value))) for v in regular)
        expected = pytest.approx(sum(parts.values()) + added, rel=1e-5, abs=1e-6)
        message = f"in {where} the loss is {logs['loss']}, and not the sum of {parts} and {added}"
        assert logs["loss"] == expected, message
        return logs


def _behind_dropout(network):
    """Return the network with Dropout of its first input."""
    first, *rest = [keras.Input(each.shape[1:], dtype=each.dtype) for each in network.inputs]
    dropped = keras.layers.Dropout(RATE, name="tried")(first)
    if not rest:
        return keras.Model(first, network(dropped), name=network.name)
    return keras.Model([first, *rest], network([dropped, *rest]), name=network.name)


def assert_config_is_complete(model, others):
    """Assert that every argument is in the configuration, and that another value comes back."""
    config = model.get_config()
    taken = arguments(type(model))
    missing = taken - set(config)
    assert not missing, f"`get_config` lacks {sorted(missing)}"
    # `copy` is about the networks that were given. Those in the configuration are the model's own.
    changes = {name: _another(config[name]) for name in taken - {"copy"}}
    changes = {name: value for name, value in changes.items() if value is not None} | others
    try:
        _assert_gives_back(model, changes)
    except ValueError:  # some do not go together
        for name, value in changes.items():
            try:
                _assert_gives_back(model, {name: value})
            except ValueError:
                assert name not in others, f"`{name}` cannot be {value!r}"


def _another(value):
    """Return another value of a switch or a number, and `None` for anything else."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return value / 2 + 0.1 if isinstance(value, float) else None


def _assert_gives_back(model, changes):
    twin = type(model).from_config({**model.get_config(), **changes})
    again = twin.get_config()
    for name, value in changes.items():
        assert again[name] == value, f"`{name}` is {value!r}, in the configuration {again[name]!r}"
        has = getattr(twin, name, value)
        if isinstance(has, keras.Variable):
            has = has.numpy().item()
        if isinstance(has, (bool, int, float)):
            assert has == pytest.approx(value), f"`{name}` is {value!r}, and the model's {has!r}"


def assert_penalty_is_its_formula(probe, penalized=None):
    """Assert that `penalty` is λ times the mean of ‖h‖², plus what the class itself adds."""
    if not getattr(probe.model, "penalties", None):
        return
    logs = probe.evaluate()
    assert "penalty" in logs, "Ω is no part of the loss"
    code = probe.model.encode(probe.x)
    code = code if penalized is None else penalized(probe.model, code)
    expected = PENALTY * (code.reshape(probe.size, -1) ** 2).sum(axis=1).mean()
    if len(probe.model.penalties) > 1:
        omega = probe.model.penalties[-1]
        probe.change(omega, "l2", 0.0)
        expected += probe.evaluate()["penalty"]
        probe.change(omega, "l2", PENALTY)
    assert logs["penalty"] == pytest.approx(expected, rel=1e-4), "`penalty` is not λ ‖h‖²"


def assert_halves_agree(probe):
    """Assert that `reconstruct`, `predict` and `decode(encode)` give the same."""
    model, x = probe.model, probe.x
    if not all(hasattr(model, name) for name in ("encode", "decode", "reconstruct")):
        return
    given = [part for name, part in x.items() if name != "x"] if isinstance(x, dict) else []
    predicted = model.predict(x, verbose=0)
    np.testing.assert_allclose(model.reconstruct(x), predicted, rtol=1e-5, atol=1e-6)
    halves = model.decode(model.encode(x), *given)
    np.testing.assert_allclose(halves, predicted, rtol=1e-5, atol=1e-6)


def assert_noise_acts_in_training_alone(probe, inputs):
    """Assert that corruption and Dropout change the logs of training, and nothing elsewhere."""
    judged, predicted = probe.evaluate(), probe.model.predict(inputs, verbose=0)
    probe.switch(False)
    message = "noise acts outside training"
    assert probe.evaluate() == pytest.approx(judged, rel=1e-6), message
    np.testing.assert_array_equal(probe.model.predict(inputs, verbose=0), predicted, message)
    quiet = probe.train()
    if any(isinstance(each, keras.layers.BatchNormalization) for each in layers_of(probe.model)):
        again, message = probe.train() if EAGER else quiet, "noise is not that of `model.noise`"
    else:
        again, message = judged, "training and evaluation differ without noise"
    assert quiet == pytest.approx(again, rel=1e-5), message
    for name in probe.noises if EAGER else []:
        probe.switch(True, name)
        assert probe.train() != pytest.approx(quiet, rel=1e-5), f"{name} does nothing in training"
        probe.switch(False, name)


def assert_weight_zero_leaves_out(probe, of_batch):
    """Assert that a part is w̄ times as large as without the examples of weight 0."""
    probe.switch(False)
    kept = probe.size // 2
    weights = (np.arange(probe.size) < kept).astype("float32")
    alone, weighted = probe.evaluate(kept), probe.evaluate(sample_weight=weights)
    shares = [kept / probe.size]
    if probe.y is not None and (probe.y < 0).any():  # some means are over examples with a label
        labelled = probe.y >= 0
        shares.append(labelled[:kept].sum() / labelled.sum())
    for part in set(probe.model.parts) - set(of_batch):
        expected = [pytest.approx(share * alone[part], rel=1e-4) for share in shares]
        assert weighted[part] in expected, f"`{part}` ignores weights"


def assert_reconstruction_moves(probe, networks):
    """Assert that one step on the reconstruction alone moves every kernel of these networks."""
    model = probe.model
    if "reconstruction" not in model.parts:
        return
    probe.switch(False)
    model.combine = lambda terms, found: terms["reconstruction"]
    optimizer = getattr(model.optimizer, "optimizers", [model.optimizer])[0]
    optimizer.learning_rate = 0.1
    parts = [part for name, part in networks_of(model).items() if name in networks]
    variables = [v for part in parts for v in part.trainable_variables if len(v.shape) > 1]
    before = [variable.numpy() for variable in variables]
    model.train_on_batch(*probe.batch())
    for variable, value in zip(variables, before, strict=True):
        moved = np.abs(variable.numpy() - value).max() > 0
        assert moved, f"the reconstruction's gradient does not reach {variable.path}"


def assert_same_step_on_every_backend(model, x, y, loss, other_backends, tmp_path):
    """Assert that one step of Adam from the same file gives the same weights everywhere."""
    quiet = keras.layers.GaussianNoise(0.0)
    twin = remade(model, corruption=quiet, condition_corruption=None)
    # Adam divides a gradient by its size, which would make rounding large where it is almost 0.
    twin.compile(keras.optimizers.Adam(0.01, epsilon=1e-3), **({"loss": loss} if loss else {}))
    twin.save(tmp_path / "step.keras")
    found = other_backends.steps(tmp_path / "step.keras", x, y, type(model))
    before, after = model.get_weights(), take_step(twin, x, y)
    assert any((one != two).any() for one, two in zip(before, after, strict=True))
    for backend, weights in found.items():
        for variable, ours, theirs in zip(twin.weights, after, weights, strict=True):
            message = f"{variable.path} after a step on {backend}"
            np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5, err_msg=message)
