import json
import zipfile

import keras
import numpy as np
import pytest
from contract import assert_contract

from kerasae import PredictiveSparseDecomposition
from kerasae.models.sparse_coding import Problem, eigenvalue_bound, energies, sparse_codes


def make(**arguments):
    return PredictiveSparseDecomposition((8, 8, 1), **{"code_size": 20, "steps": 5, **arguments})


def test_contract(x, other_backends, tmp_path):
    assert_contract(make, x, other_backends, tmp_path, reconstructed_by=["decoder"])


def problem(seed):
    """Random D with unit-norm atoms, x, F(x), λ and α, of random sizes."""
    rng = np.random.default_rng(seed)
    numbers, size = rng.integers(2, 40, 2)
    atoms = rng.normal(size=(size, numbers)) + rng.choice([0, 1]) * rng.normal(size=numbers)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    x, foreseen = rng.normal(size=(7, numbers)), rng.normal(size=(7, size))
    return x, atoms, foreseen, 10 ** rng.uniform(-3, 0.5), rng.choice([0, 10 ** rng.uniform(-2, 1)])


def parts(x, atoms, code, foreseen, sparsity, prediction):
    """The three parts of E(x, z) in NumPy and float64."""
    return (
        0.5 * ((x - code @ atoms) ** 2).sum(axis=1),
        sparsity * np.abs(code).sum(axis=1),
        0.5 * prediction * ((code - foreseen) ** 2).sum(axis=1),
    )


def monotone(x, atoms, foreseen, sparsity, prediction, steps):
    """Codes and energies (n, steps + 1) by the package, from F(x)."""
    tensors = [keras.ops.convert_to_tensor(part, "float32") for part in (x, atoms, foreseen)]
    codes, values = energies(*tensors, tensors[2], sparsity, prediction, steps)
    to_numpy = keras.ops.convert_to_numpy
    return to_numpy(codes), to_numpy(values)


def plain(x, atoms, foreseen, sparsity, prediction, steps):
    """Plain FISTA's energies (n, steps + 1), in NumPy and float64, with the exact L."""
    arguments = foreseen, sparsity, prediction
    lipschitz = np.linalg.norm(atoms, 2) ** 2 + prediction
    code, ahead, t = foreseen, foreseen, 1.0
    values = [sum(parts(x, atoms, code, *arguments))]
    for _ in range(steps):
        slope = (ahead @ atoms - x) @ atoms.T + prediction * (ahead - foreseen)
        moved = ahead - slope / lipschitz
        new = np.sign(moved) * np.maximum(np.abs(moved) - sparsity / lipschitz, 0)
        t, before = (1 + np.sqrt(1 + 4 * t * t)) / 2, t
        ahead, code = new + (before - 1) / t * (new - code), new
        values.append(sum(parts(x, atoms, code, *arguments)))
    return np.stack(values, axis=1)


@pytest.mark.home("torch")
def test_the_energy_never_increases_where_plain_fista_does():
    rises = 0
    for seed in range(6):
        x, atoms, foreseen, sparsity, prediction = problem(seed)
        given = x, atoms, foreseen, sparsity, prediction
        codes, values = monotone(*given, steps=60)
        assert (np.diff(values, axis=1) <= 0).all(), seed
        exact = sum(parts(x, atoms, codes, foreseen, sparsity, prediction))
        np.testing.assert_allclose(values[:, -1], exact, rtol=1e-5)
        np.testing.assert_allclose(
            values[:, 0], sum(parts(x, atoms, foreseen, foreseen, sparsity, prediction)), rtol=1e-5
        )
        other = plain(*given, steps=60)
        rises += (np.diff(other, axis=1) > 1e-6 * other[:, :1]).any(axis=1).sum()
    assert rises > 5  # of 42 examples


def test_the_backends_loop_gives_the_same_codes():
    x, atoms, foreseen, sparsity, prediction = problem(0)
    tensors = [keras.ops.convert_to_tensor(part, "float32") for part in (x, atoms, foreseen)]
    codes = sparse_codes(*tensors, tensors[2], sparsity, prediction, 20)
    expected, _ = monotone(x, atoms, foreseen, sparsity, prediction, 20)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(codes), expected, atol=1e-4)


@pytest.mark.home("torch")
def test_inference_finds_the_minimum():
    """At z* the gradient g of the smooth part is −λ sign z where z ≠ 0, and |g| ≤ λ elsewhere."""
    rng = np.random.default_rng(3)
    atoms = rng.normal(size=(30, 12))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    x, foreseen = rng.normal(size=(5, 12)), rng.normal(size=(5, 30))
    sparsity, prediction = 0.2, 0.1
    codes, _ = monotone(x, atoms, foreseen, sparsity, prediction, steps=500)
    slope = (codes @ atoms - x) @ atoms.T + prediction * (codes - foreseen)
    active = codes != 0
    assert 0.1 < active.mean() < 0.9
    np.testing.assert_allclose(slope[active], -sparsity * np.sign(codes[active]), atol=1e-4)
    assert np.abs(slope[~active]).max() <= sparsity + 1e-4


@pytest.mark.home("torch")
def test_orthonormal_atoms_have_a_closed_form():
    """E = ½‖x − Dz‖² + λ‖z‖₁ is least at S_λ(Dᵀx)."""
    rng = np.random.default_rng(0)
    atoms = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    x = rng.normal(size=(9, 6))
    codes, _ = monotone(x, atoms, np.zeros((9, 6)), 0.3, 0.0, steps=100)
    along = x @ atoms.T
    best = np.sign(along) * np.maximum(np.abs(along) - 0.3, 0)
    # E exceeds its minimum by ½‖z − z*‖²: below √(2 · 6e-8 · E), 1e-3 here, float32 sees no better.
    np.testing.assert_allclose(codes, best, atol=1e-3)


@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (30, 30), (1, 4), (200, 100)])
@pytest.mark.home("torch")
def test_the_lipschitz_constant_is_an_upper_bound(shape):
    rng = np.random.default_rng(0)
    for atoms in (rng.normal(size=shape), np.ones(shape), 1e3 * rng.random(shape)):
        largest = np.linalg.norm(atoms, 2) ** 2
        bound = float(keras.ops.convert_to_numpy(eigenvalue_bound(atoms.astype("float32"))))
        assert largest <= bound <= largest * min(shape) ** (1 / 16) * 1.0001


@pytest.mark.home("torch")
def test_steps_are_short_enough_for_the_prediction_too():
    """½‖x − zD‖² + ½α‖z − z₀‖² has the curvature λ_max(DDᵀ) + α."""
    rng = np.random.default_rng(0)
    x, atoms, foreseen = (rng.normal(size=size) for size in ((7, 12), (5, 12), (7, 5)))
    problem = Problem(*(each.astype("float32") for each in (x, atoms, foreseen)), 0.1, 50.0)
    bound = float(keras.ops.convert_to_numpy(problem.lipschitz))
    largest = np.linalg.norm(atoms, 2) ** 2 + 50.0
    assert largest <= bound <= 1.1 * largest


def norms(model):
    return np.linalg.norm(model.dictionary.reshape(model.code_size, -1), axis=1)


def test_atoms_always_have_length_one(x, tmp_path):
    model = make()
    np.testing.assert_allclose(norms(model), 1, atol=1e-5)
    before = model.dictionary
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(x, epochs=2, batch_size=16, verbose=0)
    assert np.abs(model.dictionary - before).max() > 0.01
    np.testing.assert_allclose(norms(model), 1, atol=1e-5)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        keras.saving.load_model(tmp_path / "model.keras").dictionary, model.dictionary
    )


def weights(model):
    """W, b, γ and the atoms."""
    return [weight.astype("float64") for weight in model.get_weights()]


def test_networks_are_the_formulas(x):
    model = make()
    kernel, bias, gain, atoms = weights(model)
    gain[:] = np.linspace(0.5, 2, 20)
    model.set_weights([kernel, bias, gain, atoms])
    rows = x.reshape(48, 64)
    code = gain * np.tanh(rows @ kernel + bias)
    np.testing.assert_allclose(model.encode(x), code, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        model.reconstruct(x).reshape(48, 64), code @ atoms, rtol=1e-4, atol=1e-5
    )
    assert model.dictionary.shape == (20, 8, 8, 1)
    assert model.count_params() == 64 * 20 + 20 + 20 + 20 * 64


def test_loss_is_the_energy_at_inferred_codes(x):
    model = make(sparsity=0.05, prediction=0.5)
    model.compile(loss="mse")
    atoms = weights(model)[3]
    weight = np.linspace(0, 2, 48, dtype="float32")
    for sample_weight in (None, weight):
        values = model.evaluate(
            x, batch_size=20, sample_weight=sample_weight, verbose=0, return_dict=True
        )
        rows, factor = x.reshape(48, 64), 1 if sample_weight is None else sample_weight
        each = parts(rows, atoms, model.infer(x), model.encode(x), 0.05, 0.5)
        for name, part in zip(("reconstruction", "sparsity", "prediction"), each, strict=True):
            assert values[name] == pytest.approx((factor * part).mean(), rel=1e-4)
        assert values["loss"] == pytest.approx((factor * sum(each)).mean(), rel=1e-4)
    np.testing.assert_allclose(model.objective(x, model.infer(x)), sum(each), rtol=1e-4)
    assert not np.allclose(model.objective(x, model.infer(x), prediction=0), sum(each), rtol=1e-3)


def test_a_step_moves_dictionary_and_encoder_with_the_codes_fixed(x):
    """One SGD step equals the gradients of E at z*, in NumPy."""
    model = make(sparsity=0.05, prediction=0.5)
    kernel, bias, gain, atoms = weights(model)
    rate, rows, codes = 0.1, x.reshape(48, 64).astype("float64"), model.infer(x)
    model.compile(keras.optimizers.SGD(rate))
    model.fit(x, batch_size=48, verbose=0)
    hidden = np.tanh(rows @ kernel + bias)
    error = 0.5 * (gain * hidden - codes) / 48  # ∂E/∂F = α(F − z), averaged
    inside = error * gain * (1 - hidden**2)
    moved = atoms - rate * codes.T @ (codes @ atoms - rows) / 48
    expected = [
        kernel - rate * rows.T @ inside,
        bias - rate * inside.sum(axis=0),
        gain - rate * (error * hidden).sum(axis=0),
        moved / np.linalg.norm(moved, axis=1, keepdims=True),
    ]
    for one, two in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.home("tensorflow")
def test_the_encoder_learns_to_foresee(x):
    keras.utils.set_random_seed(0)
    model = make(sparsity=0.02)
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(x, epochs=60, batch_size=16, verbose=0).history
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    start = np.zeros((48, 20))
    one_pass = model.objective(x, model.encode(x), prediction=0).mean()
    _, energies = model.infer(x, steps=50, start=start, prediction=0, trace=True)
    energies = energies.mean(axis=0)
    assert energies[1] > one_pass > energies[-1]


def test_infer(x):
    model = make()
    codes, energies = model.infer(x, steps=7, trace=True, batch_size=20)
    assert codes.shape == (48, 20) and energies.shape == (48, 8)
    assert isinstance(codes, np.ndarray) and (np.diff(energies, axis=1) <= 0).all()
    np.testing.assert_allclose(energies[:, 0], model.objective(x, model.encode(x)), rtol=1e-5)
    np.testing.assert_allclose(energies[:, -1], model.objective(x, codes), rtol=1e-5)
    np.testing.assert_allclose(model.infer(x, steps=7), codes, atol=1e-5)
    np.testing.assert_array_equal(model.infer(x), model.infer(x, steps=5))
    again = model.infer(x, start=codes, steps=1)
    assert (model.objective(x, again) <= model.objective(x, codes) + 1e-6).all()


def test_pairs_infer_from_the_clean_and_foresee_from_the_noisy(x):
    model = make(prediction=0.5)
    model.compile()
    noisy = np.clip(x + 0.1, 0, 1)
    values = model.evaluate(noisy, x, verbose=0, return_dict=True)
    atoms, foreseen = weights(model)[3], model.encode(noisy)
    codes, _ = monotone(x.reshape(48, 64), atoms, foreseen, 0.1, 0.5, steps=5)
    each = parts(x.reshape(48, 64), atoms, codes, foreseen, 0.1, 0.5)
    assert values["loss"] == pytest.approx(sum(each).mean(), rel=1e-4)


def test_vectors_and_half_precision(x):
    keras.config.set_dtype_policy("mixed_float16")
    model = PredictiveSparseDecomposition((64,), 20, steps=5)
    model.compile()
    history = model.fit(x.reshape(48, 64), epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    codes, energies = model.infer(x.reshape(48, 64), trace=True)
    assert codes.dtype == "float32" and (np.diff(energies, axis=1) <= 0).all()
    np.testing.assert_allclose(norms(model), 1, atol=1e-5)


def test_a_file_holds_sizes_and_weights_only(tmp_path):
    make().save(tmp_path / "model.keras")
    config = json.loads(zipfile.ZipFile(tmp_path / "model.keras").read("config.json"))["config"]
    assert config["input_shape"] == [8, 8, 1] and "encoder" not in config


@pytest.mark.parametrize(
    "use, message",
    [
        (lambda x: make(code_size=0), "`code_size` is 0, expected a whole number"),
        (lambda x: make(sparsity=-1), "`sparsity` is -1, expected a number of at least 0"),
        (lambda x: make(prediction=-1), "`prediction` is -1, expected a number of at least 0"),
        (lambda x: make(steps=0), "`steps` is 0, expected a whole number of at least 1"),
        (lambda x: PredictiveSparseDecomposition(64, 3), "`input_shape` is 64, expected a tuple"),
        (
            lambda x: make().compile(loss="binary_crossentropy"),
            "`loss` is 'binary_crossentropy', expected 'mse'",
        ),
        (lambda x: make().infer(x, steps=0), "`steps` is 0, expected a whole number"),
        (lambda x: make().infer(x, prediction=-1), "`prediction` is -1, expected"),
        (lambda x: make().infer(x, start=np.ones((48, 3))), "`start` has shape"),
        (lambda x: make().objective(x, np.ones((47, 20))), "`x` has 48, `code` has 47"),
        (lambda x: make().infer(x[:, 0]), "`x` has shape"),
    ],
)
@pytest.mark.home("torch")
def test_bad_arguments(use, message, x):
    with pytest.raises(ValueError, match=message):
        use(x)


def test_weights_are_one_for_each_example(x):
    model = make()
    model.compile()
    with pytest.raises(ValueError, match=r"`sample_weight` has shape .*, expected \(examples, \)"):
        model.fit(x, sample_weight=np.ones((48, 64), "float32"), verbose=0)


def test_a_penalty_and_a_corruption_add_up_with_the_energy(x):
    model = make(penalty=keras.regularizers.L1(0.1), corruption=keras.layers.GaussianNoise(0.5))
    model.compile(keras.optimizers.SGD(0.0))
    found = model.fit(x, validation_data=(x,), verbose=0).history
    l1 = 0.1 * np.abs(model.encode(x)).sum(axis=1).mean()
    assert found["val_penalty"][0] == pytest.approx(l1, rel=1e-4)
    energy = model.objective(x, model.infer(x)).mean()
    assert found["val_loss"][0] == pytest.approx(energy + l1, rel=1e-4)
    assert abs(found["penalty"][0] / l1 - 1) > 1e-3  # of the code of x̃


@pytest.mark.home("torch")
def test_momentum_makes_the_inference_as_fast_as_fista():
    rng = np.random.default_rng(0)
    atoms = rng.normal(size=(30, 12)) + 3 * rng.normal(size=12)  # all much alike
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    given = rng.normal(size=(7, 12)), atoms, np.zeros((7, 30)), 0.01, 0.0
    least = plain(*given, steps=3000).min(axis=1)
    fast, ours = (f(*given, steps=100) for f in (plain, lambda *a, **k: monotone(*a, **k)[1]))
    above, start = ours[:, -1] - least, ours[:, 0] - least
    assert (above < 2 * (fast[:, -1] - least) + 1e-3 * start).all()
