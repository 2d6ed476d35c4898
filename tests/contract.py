"""What every model promises, asserted in one call.

    assert_contract(make_model, x, other_backends, tmp_path)

fit lowers the loss; validation has the same metrics; the same seed gives the same run;
compiled metrics and sample weights work without targets; config, `.keras` and preset round
trips give the same outputs, under the other backends too; bad input is one sentence.
"""

import json
import re
import zipfile

import keras
import numpy as np
import pytest

from kerasae.datasets import Split


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
            weights and bad input. One model of each class does.
    """
    if compiled is None:
        compiled = {"loss": loss, "metrics": ["mae"]}
    model, history = _trained(make_model, x, y, compiled, epochs)
    assert_learns(model, history, {"reconstruction", "mae"} if y is None else {"cross_entropy"})
    assert_repeatable(make_model, x, y, compiled, epochs, model)
    if of_class and y is None:
        assert_targets_default_to_input(model, x)
    assert_round_trips(model, x, other_backends, tmp_path, y)
    if of_class:
        assert_bad_input_is_refused(model, x, loss, y)


def _trained(make_model, x, y, compiled, epochs):
    keras.utils.set_random_seed(7)
    model = make_model()
    model.compile(optimizer=keras.optimizers.Adam(0.01), **compiled)
    before = model.evaluate(x, y, verbose=0, return_dict=True)
    validation = (x,) if y is None else (x, y)
    history = model.fit(
        x, y, epochs=epochs, batch_size=16, validation_data=validation, verbose=0
    ).history
    return model, {"before": before["loss"], **history}


def assert_learns(model, history, expected):
    before = history.pop("before")
    assert history["val_loss"][-1] < before
    names = {name for name in history if not name.startswith("val_")}
    assert {"loss"} | expected <= names
    assert {f"val_{name}" for name in names} == {n for n in history if n.startswith("val_")}
    assert {m.name for m in model.metrics} - {"compile_metrics"} <= names
    assert all(np.isfinite(history[name]).all() for name in history)


def assert_repeatable(make_model, x, y, compiled, epochs, model):
    again, _ = _trained(make_model, x, y, compiled, epochs)
    for one, two in zip(model.get_weights(), again.get_weights(), strict=True):
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
