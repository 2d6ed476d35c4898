import keras
import numpy as np
import pytest
from contract import assert_contract

from kerasae import Autoencoder, DenoisingAutoencoder, nets
from kerasae.corruptions import BlockMask, MaskingNoise, SaltAndPepper

GaussianNoise, Dropout = keras.layers.GaussianNoise, keras.layers.Dropout


def several():
    return keras.Sequential(
        [GaussianNoise(0.1, seed=1), MaskingNoise(0.2), BlockMask(2), Dropout(0.1, seed=2)]
    )


def denoising(corruption, **arguments):
    return DenoisingAutoencoder(*nets.mlp((8, 8, 1), 4, (16,)), corruption, **arguments)


@pytest.mark.parametrize(
    "make, of_class",
    [
        (lambda: denoising(GaussianNoise(0.2)), True),
        pytest.param(
            lambda: denoising(several(), penalty=keras.regularizers.L1(1e-4)),
            False,
            marks=pytest.mark.home("tensorflow"),
        ),
    ],
    ids=["gaussian", "several"],
)
def test_contract(make, of_class, x, other_backends, tmp_path):
    assert_contract(make, x, other_backends, tmp_path, of_class=of_class)


def linear(matrix, corruption):
    """g(f(x)) = Ax."""
    size = len(matrix)
    encoder, decoder = (
        keras.Sequential([keras.Input((size,)), keras.layers.Dense(size, use_bias=False)])
        for _ in range(2)
    )
    encoder.set_weights([matrix.T])
    decoder.set_weights([np.eye(size)])
    return DenoisingAutoencoder(encoder, decoder, corruption)


def test_score_field_of_the_best_linear_denoiser():
    """x ~ N(0, S): A = S(S + σ²I)⁻¹ and ∇ log p_σ(x) = −(S + σ²I)⁻¹ x, in float64."""
    rng = np.random.default_rng(0)
    root, sigma = rng.normal(size=(5, 5)), 0.4
    covariance, noise = root @ root.T, sigma**2 * np.eye(5)
    best = covariance @ np.linalg.inv(covariance + noise)
    points = rng.normal(size=(300, 5))
    score = -points @ np.linalg.inv(covariance + noise)
    for corruption in (GaussianNoise(sigma), keras.Sequential([GaussianNoise(sigma)])):
        field = linear(best, corruption).score_field(points)
        np.testing.assert_allclose(field, score, rtol=1e-4, atol=1e-4)
    other = linear(best, MaskingNoise(0.5))
    np.testing.assert_array_equal(other.score_field(points, stddev=sigma), field)


@pytest.mark.home("torch")
def test_the_best_linear_denoiser_is_the_minimum():
    """E‖x − Ax̃‖² is least at S(S + σ²I)⁻¹, and copying costs dσ²: the model's loss says so."""
    rng = np.random.default_rng(1)
    root, sigma = rng.normal(size=(3, 3)), 0.5
    covariance = root @ root.T
    x = rng.multivariate_normal(np.zeros(3), covariance, 200_000).astype("float32")
    best = covariance @ np.linalg.inv(covariance + sigma**2 * np.eye(3))
    risks = {}
    for name, matrix in {"best": best, "copy": np.eye(3), "off": best + 0.05}.items():
        model = linear(matrix, GaussianNoise(sigma, seed=1))
        model.compile(keras.optimizers.SGD(0.0), "mse")
        risks[name] = 3 * model.fit(x, batch_size=5000, verbose=0).history["loss"][0]
    # 600,000 squares of normals: a relative standard deviation of √(2/600,000) = 0.002.
    assert risks["copy"] == pytest.approx(3 * sigma**2, rel=0.01)
    # The posterior covariance is σ²A: its trace is the least risk.
    assert risks["best"] == pytest.approx(sigma**2 * np.trace(best), rel=0.01)
    assert risks["best"] < risks["off"]


def test_project_iterates():
    matrix = np.diag([0.5, 1.0])
    model = linear(matrix, GaussianNoise(0.1))
    x = np.array([[8.0, 3.0], [-4.0, 1.0]], "float32")
    path = model.project(x, steps=3, path=True)
    assert path.shape == (2, 4, 2)
    np.testing.assert_allclose(path[0], [[8, 3], [4, 3], [2, 3], [1, 3]], rtol=1e-6)
    np.testing.assert_array_equal(model.project(x, steps=3), path[:, -1])
    np.testing.assert_allclose(model.project(x, 1, step_size=0.5), x * [0.75, 1], rtol=1e-6)


def test_corrupt_is_what_training_sees(x):
    model = denoising(SaltAndPepper(0.4, seed=3))
    first, second = model.corrupt(x), model.corrupt(x)
    assert isinstance(first, np.ndarray) and (first != second).any()
    assert (first == 0).mean() == pytest.approx(0.2, abs=0.03)
    assert (first == 1).mean() == pytest.approx(0.2, abs=0.03)
    again = denoising(SaltAndPepper(0.4, seed=3))
    seen = keras.ops.convert_to_numpy(again(x, training=True))
    np.testing.assert_allclose(seen, again.predict(first, verbose=0), rtol=1e-5)
    plain = Autoencoder(model.encoder, model.decoder)
    np.testing.assert_array_equal(plain.corrupt(x), x)


def test_noise_goes_on_where_it_stood(x, tmp_path):
    """Two epochs, a file, two more: the weights of four, bit for bit."""

    def train(model, epochs):
        model.fit(x, epochs=epochs, batch_size=16, shuffle=False, verbose=0)
        return model

    def start():
        keras.utils.set_random_seed(5)
        model = denoising(several())
        model.compile("adam", "mse")
        return model

    whole = train(start(), 4)
    train(start(), 2).save(tmp_path / "model.keras")
    keras.utils.set_random_seed(99)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one, two in zip(train(loaded, 2).get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def stream(x, y):
    for start in range(0, len(x), 16):
        yield x[start : start + 16], y[start : start + 16]


def test_pairs_bring_their_own_noise(x):
    """Where everything is masked the loss is the blank image's; pairs are not masked."""
    x = np.where(x > 0.5, 0.875, 0.125).astype("float32")  # exact sums, in whatever order
    model = denoising(MaskingNoise(1.0))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    blank = ((model.reconstruct(np.zeros_like(x)) - x) ** 2).mean()
    noisy = np.clip(x + 0.3 * np.random.default_rng(1).normal(size=x.shape), 0, 1)
    noisy = noisy.astype("float32")
    pairs = ((model.reconstruct(noisy) - x) ** 2).mean()
    assert blank != pytest.approx(pairs, rel=1e-3)

    def loss(*data):
        return model.fit(*data, batch_size=16, verbose=0).history["loss"][0]

    assert loss(x) == pytest.approx(blank, rel=1e-5)
    assert loss(noisy, x) == pytest.approx(pairs, rel=1e-5)
    assert loss(x, x.copy()) == pytest.approx(blank, rel=1e-5)
    assert loss(stream(noisy, x)) == pytest.approx(pairs, rel=1e-5)
    assert loss(stream(x, x)) == pytest.approx(blank, rel=1e-5)
    values = model.fit(x, validation_data=(noisy, x), verbose=0).history
    assert values["loss"][0] == pytest.approx(blank, rel=1e-5)
    assert values["val_loss"][0] == pytest.approx(pairs, rel=1e-5)
    assert model.evaluate(noisy, x, verbose=0)[0] == pytest.approx(pairs, rel=1e-5)


def colours():
    encoder, _ = nets.mlp((8, 8, 1), 3)
    _, decoder = nets.mlp((8, 8, 3), 3)
    return DenoisingAutoencoder(encoder, decoder, GaussianNoise(0.1))


@pytest.mark.home("torch")
def test_points_to_move_are_examples(x):
    model = denoising(GaussianNoise(0.1))
    fields = np.zeros(x.shape, [("a", "f4")])
    for bad, message in [
        (x + 1j, "`x` is of type complex64, expected numbers"),
        (x.astype("datetime64[s]"), r"`x` is of type datetime64\[s\], expected numbers"),
        (fields, r"`x` is of type .*'a'.*, expected numbers"),
        ((255 * x).astype("uint8"), "`x` holds integers up to 229, expected scaled numbers"),
        (x[0], "`x` has shape"),
        (iter([x]), "`x` is of type list_iterator, expected an array of examples"),
        (None, "`x` is None, expected an array of examples"),
    ]:
        for method in (model.project, model.score_field):
            with pytest.raises(ValueError, match=message):
                method(bad)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda x: denoising(None), "`corruption` is None, expected a Keras layer"),
        (
            lambda x: denoising(MaskingNoise(0.1)).score_field(x),
            "`corruption` is a MaskingNoise, expected a `keras.layers.GaussianNoise`",
        ),
        (lambda x: denoising(several()).score_field(x), "`corruption` is a Sequential, expected"),
        (lambda x: denoising(several()).score_field(x, 0.0), "`stddev` is 0, expected a positive"),
        (lambda x: denoising(several()).score_field(x, -1.0), "`stddev` is -1.0, expected"),
        (lambda x: denoising(GaussianNoise(0.1)).project(x, 0), "`steps` is 0, expected"),
        (lambda x: denoising(GaussianNoise(0.1)).score_field(x[:, 0]), "`x` has shape"),
        (lambda x: denoising(GaussianNoise(0.1)).corrupt(x[:, 0]), "`x` has shape"),
        (lambda x: colours().score_field(x), "expected the same shape to subtract them"),
    ],
)
@pytest.mark.home("torch")
def test_bad_arguments(make, message, x):
    with pytest.raises(ValueError, match=message):
        make(x)
