"""Diffusion: one denoiser for all levels, its samplers, its density, and what it learns."""

import exact
import keras
import numpy as np
import pytest
from contract import (
    assert_config_is_complete,
    assert_learns,
    assert_repeatable,
    assert_resumes,
    assert_round_trips,
    assert_same_step_on_every_backend,
    trained,
)
from keras import ops

from kerasae import (
    Autoencoder,
    Diffusion,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
    nets,
    quantizers,
    schedules,
)
from kerasae.models.path_field import ancestral

RNG = np.random.default_rng(0)
MEANS, VARIANCE = [[-1.0, 0.0], [1.0, 0.5]], 0.05
LABELS = np.arange(64) % 2
X = (np.array(MEANS)[LABELS] + VARIANCE**0.5 * RNG.normal(size=(64, 2))).astype("float32")
IMAGES = RNG.random((16, 8, 8, 1), dtype="float32")


def made(classes=None, **options):
    return Diffusion(nets.residual_mlp((2,), 16, 1, classes), classes=classes, **options)


def exactly(**options):
    """The model whose network is the optimum."""
    network = exact.network(MEANS, VARIANCE)
    return Diffusion(network, predicts="clean", standardize=False, **options)


def test_contract(other_backends, tmp_path):
    model, history = trained(made, X, None, {}, 15)
    assert_learns(model, history, {"denoising"})
    assert_repeatable(made, X, None, {}, 15, model)
    assert_round_trips(model, X, other_backends, tmp_path)
    assert_config_is_complete(model, {})
    assert_same_step_on_every_backend(model, X, None, None, other_backends, tmp_path)


def test_a_unet_with_labels_takes_the_same_step_on_every_backend(other_backends, tmp_path):
    network = nets.unet((8, 8, 1), (4, 8), classes=2, patch=2)
    model = Diffusion(network, "cosine", classes=2, drop=0.0)
    labels = np.arange(16) % 2
    assert_same_step_on_every_backend(model, IMAGES, labels, None, other_backends, tmp_path)


@pytest.mark.parametrize("weight", ["velocity", "noise", "clean"])
@pytest.mark.parametrize("predicts", ["velocity", "noise", "clean"])
@pytest.mark.home("torch")
def test_the_loss_is_the_weighted_error_of_the_reading(predicts, weight):
    model = made(predicts=predicts, weight=weight)
    model.start(X)
    x = (X - X.mean(axis=0)) / (X - X.mean(axis=0)).std()
    for network_weight in model.network.trainable_weights:
        network_weight.assign(RNG.normal(size=network_weight.shape) * 0.1)
    noise = RNG.normal(size=X.shape).astype("float32")
    s = np.exp(RNG.normal(size=(64, 1))).astype("float32")
    point, level = map(ops.convert_to_tensor, (x + s * noise, s))
    output = model._output(model.network, point, level, None)
    read = model.clean(point, level, output), model.noisy(point, level, output)
    clean, read = map(ops.convert_to_numpy, read)
    np.testing.assert_allclose(clean + s * read, x + s * noise, atol=2e-5)
    aim, share = model.aim(ops.convert_to_tensor(x), ops.convert_to_tensor(noise), level)
    error = ops.convert_to_numpy((output - aim) ** 2 * (1 if share is None else share))
    factor = {"velocity": 1 + 1 / s**2, "noise": 1 / s**2, "clean": 1.0}[weight]
    np.testing.assert_allclose(error, factor * (x - clean) ** 2, rtol=2e-3, atol=1e-5)


@pytest.mark.home("torch")
@pytest.mark.parametrize("named", ["metrics", "weighted_metrics"])
def test_metrics_measure_the_denoised_example(named):
    model = exactly()
    model.compile("sgd", **{named: [keras.metrics.MeanSquaredError("squares")]})
    history = model.fit(X, verbose=0).history
    np.testing.assert_allclose(history["squares"], history["denoising"], rtol=1e-5)
    values = model.evaluate(X, verbose=0, return_dict=True)
    np.testing.assert_allclose(values["squares"], values["denoising"], rtol=1e-5)


@pytest.mark.home("torch")
def test_a_step_is_ddpms_and_ddims():
    steps = 1000
    betas = np.linspace(1e-4, 0.02, steps)
    shares = np.cumprod(1 - betas)
    table = schedules.Linear(steps).table
    np.testing.assert_allclose(table, np.sqrt((1 - shares) / shares), rtol=1e-5)
    t = np.array([5, 300, 999])
    s, r = table[t].astype("float64"), table[t - 1].astype("float64")
    kept, new = (ops.convert_to_numpy(v) for v in ancestral(*map(ops.convert_to_tensor, (s, r))))
    # DDPM: x_{t−1} = √ᾱ_{t−1} β/(1 − ᾱ_t) x₀ + √α (1 − ᾱ_{t−1})/(1 − ᾱ_t) x_t + √β̃ z, with
    # x_t = √ᾱ_t x₀ + √(1 − ᾱ_t) ε; here both are divided by √ᾱ.
    now, before = shares[t], shares[t - 1]
    of_noise = np.sqrt(1 - betas[t]) * (1 - before) / (1 - now) * np.sqrt(1 - now)
    variance = (1 - before) / (1 - now) * betas[t]
    np.testing.assert_allclose(kept, of_noise / np.sqrt(before), rtol=1e-4)
    np.testing.assert_allclose(new, np.sqrt(variance / before), rtol=1e-3)
    # DDIM: x_{t−1} = √ᾱ_{t−1} x̂ + √(1 − ᾱ_{t−1}) ε̂.
    np.testing.assert_allclose(r, np.sqrt((1 - before) / before), rtol=1e-5)


@pytest.mark.home("torch")
def test_the_cosine_is_the_papers():
    shares = schedules.Cosine(1000).shares(1000)
    times = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(shares[:-1], times[1:-1] / times[0], rtol=1e-6)
    continuous = schedules.Cosine(None)
    sigma = ops.convert_to_numpy(continuous.draw(ops.convert_to_tensor([0.5], "float32")))
    np.testing.assert_allclose(sigma, schedules.Cosine(1000).table[499], rtol=1e-4)


@pytest.mark.parametrize("schedule", ["log_normal", "cosine", "linear"])
@pytest.mark.home("torch")
def test_levels_fall_to_zero(schedule):
    model = made(schedule=schedule)
    levels = model.schedule.grid(30)
    assert len(levels) == 31 and levels[-1] == 0 and (np.diff(levels) < 0).all()
    u = ops.convert_to_tensor(np.linspace(0.001, 0.999, 100, dtype="float32"))
    drawn = ops.convert_to_numpy(model.schedule.draw(u))
    assert (np.diff(drawn) >= 0).all() and drawn.min() > 0


def test_it_is_the_denoiser_of_a_mixture():
    model = exactly()
    noisy = X + 0.7 * RNG.normal(size=X.shape).astype("float32")
    total = VARIANCE + 0.49
    squares = ((noisy[:, None] - MEANS) ** 2).sum(-1)
    shares = np.exp(-squares / (2 * total))
    shares /= shares.sum(axis=1, keepdims=True)
    expected = np.einsum("nk,nkd->nd", shares, MEANS + VARIANCE / total * (noisy[:, None] - MEANS))
    np.testing.assert_allclose(model.denoise(noisy, 0.7), expected, atol=1e-5)


def test_the_field_gives_the_density():
    values, errors = exactly().log_prob(X, errors=True)
    expected = exact.log_density(X, MEANS, VARIANCE)
    assert np.abs(values - expected).mean() < 0.01 and np.abs(values - expected).max() < 0.05
    assert errors.mean() < 0.05
    # Estimates by random directions, of which many make the exact divergence.
    random, spread = exactly().log_prob(X, probes=200, errors=True)
    assert np.abs(random - expected).mean() < 0.1 and (np.abs(random - expected) < 6 * spread).all()


@pytest.mark.home("torch")
def test_the_bound_is_below_the_density_and_rises_with_the_levels():
    expected = exact.log_density(X, MEANS, VARIANCE).mean()
    bounds = [exactly().bound(X, steps=steps).mean() for steps in (20, 100, 1000)]
    assert bounds[0] < bounds[1] < bounds[2] < expected + 0.05 < bounds[2] + 0.4


@pytest.mark.parametrize("solver", ["heun", "ddim", "ancestral", "adaptive"])
@pytest.mark.home("torch")
def test_every_solver_ends_in_the_distribution(solver):
    samples = exactly().sample(4000, steps=200, solver=solver, tolerance=1e-4, seed=1)
    right = samples[:, 0] > 0
    assert abs(right.mean() - 0.5) < 0.05
    for mean, part in zip(MEANS, (samples[~right], samples[right]), strict=True):
        np.testing.assert_allclose(part.mean(axis=0), mean, atol=0.03)
        np.testing.assert_allclose(part.std(axis=0), VARIANCE**0.5, rtol=0.08)


def test_noise_becomes_the_example_that_it_came_from():
    model = exactly()
    np.testing.assert_allclose(
        model.generate(model.to_noise(X, steps=200), steps=200), X, atol=0.02
    )
    arcs = model.interpolate(X[:2], X[2:4], steps=5)
    assert arcs.shape == (2, 5, 2)
    np.testing.assert_allclose(arcs[:, 0], X[:2], atol=0.1)


def test_the_path_leads_from_the_noise_to_the_end():
    model, noise = exactly(), RNG.normal(size=(3, 2)).astype("float32")
    points = model.generate(noise, steps=6, path="points")
    cleans = model.generate(noise, steps=6, path="clean")
    assert points.shape == (3, 7, 2) and cleans.shape == (3, 6, 2)
    levels = model.schedule.grid(6)
    np.testing.assert_allclose(points[:, 0], noise * np.hypot(1, levels[0]), rtol=1e-5)
    np.testing.assert_array_equal(points[:, -1], model.generate(noise, steps=6))
    denoised = model.denoise(points[:, 2], levels[2])
    np.testing.assert_allclose(cleans[:, 2], denoised, atol=1e-5)


@pytest.mark.home("torch")
def test_noise_of_any_largest_level_has_the_deviation_of_noisy_data():
    # The field of N(0, I) carries √(1 + σ²) ε to ε.
    network, noise = exact.network([[0.0, 0.0]], 1.0), RNG.normal(size=(20, 2)).astype("float32")
    levels = schedules.LogNormal(largest=3)
    model = Diffusion(network, levels, predicts="clean", standardize=False)
    for options in ({"steps": 100}, {"solver": "adaptive", "tolerance": 1e-4}):
        np.testing.assert_allclose(model.generate(noise, **options), noise, atol=2e-3)
    np.testing.assert_allclose(model.to_noise(noise, steps=100), noise, atol=2e-3)


def test_a_smaller_tolerance_is_nearer_to_the_end():
    start = RNG.normal(size=(50, 2)).astype("float32")
    errors = [each.mean() for each in exact.off_by_tolerance(exactly(), start)]
    assert errors[2] < errors[1] < errors[0] and errors[2] < 2e-3


def test_what_is_known_stays_and_the_rest_agrees_with_it():
    model = exactly()
    filled = model.inpaint(X, [True, False], steps=30, repeats=3, seed=0)
    np.testing.assert_array_equal(filled[:, 0], X[:, 0])
    right = X[:, 0] > 0
    assert filled[right, 1].mean() == pytest.approx(0.5, abs=0.15)
    assert filled[~right, 1].mean() == pytest.approx(0.0, abs=0.15)


def test_it_learns_and_labels_guide_it():
    x, labels = np.tile(X, (16, 1)), np.tile(LABELS, 16)
    keras.utils.set_random_seed(0)
    model = Diffusion(nets.residual_mlp((2,), 32, 2, 2), classes=2, average=0.99)
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(x, labels, batch_size=64, epochs=25, verbose=0)
    shares = [
        (model.sample(400, labels=1, guidance=w, seed=0)[:, 0] > 0).mean() for w in (0.0, 1.0, 2.0)
    ]
    assert abs(shares[0] - 0.5) < 0.15 and shares[1] > 0.95 and shares[2] >= shares[1]
    samples = model.sample(1000, seed=0)
    np.testing.assert_allclose(samples.mean(axis=0), X.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(samples.std(axis=0), X.std(axis=0), rtol=0.15)


@pytest.mark.home("torch")
def test_draws_repeat_whatever_the_batches():
    model = made()
    for solver in model.solvers:
        one = model.sample(5, seed=3, solver=solver)
        size = 256 if solver == "adaptive" else 2  # its steps suit the worst of a batch
        again = model.sample(5, seed=3, solver=solver, batch_size=size)
        np.testing.assert_allclose(one, again, atol=1e-5)
    assert (model.sample(3) != model.sample(3)).any()


@pytest.mark.home("torch")
def test_data_are_standardized_once():
    model = made()
    model.compile()
    model.fit(10 * X + 3, epochs=1, verbose=0)
    center = ops.convert_to_numpy(model.center)
    np.testing.assert_allclose(center, (10 * X + 3).mean(axis=0), rtol=1e-4)
    model.fit(X, epochs=1, verbose=0)
    np.testing.assert_array_equal(ops.convert_to_numpy(model.center), center)
    plain = made(standardize=False)
    plain.compile()
    plain.fit(10 * X + 3, epochs=1, verbose=0)
    assert ops.convert_to_numpy(plain.scale) == 1
    clipped = made(interval=(0, 1)).sample(20, seed=0)
    assert clipped.min() >= 0 and clipped.max() <= 1


def autoencoders():
    variational = nets.mlp((8, 8, 1), 2, (8,), posterior="diagonal")
    grid = nets.convolutional((8, 8, 1), None, (4, 4))
    return {
        "plain": Autoencoder(*nets.mlp((8, 8, 1), 2, (8,))),
        "variational": VariationalAutoencoder(*variational),
        "quantized": VectorQuantizedAutoencoder(
            *grid, quantizers.VectorQuantizer(4, k_means=False)
        ),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "plain",
        pytest.param("variational", marks=pytest.mark.home("tensorflow")),
        pytest.param("quantized", marks=pytest.mark.home("torch")),
    ],
)
def test_it_takes_the_codes_of_any_autoencoder(kind):
    autoencoder = autoencoders()[kind]
    network = nets.unet((2, 2, 4), (4,)) if kind == "quantized" else nets.residual_mlp((2,), 8, 1)
    model = Diffusion(network, autoencoder=autoencoder)
    before = [weight.copy() for weight in autoencoder.get_weights()]
    model.compile()
    once = model.fit(IMAGES, epochs=1, verbose=0, validation_data=(IMAGES,)).history
    assert np.isfinite(once["val_loss"]).all()
    for one, two in zip(before, autoencoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    # Codes made before, and codes made in the step, are the same.
    codes = autoencoder.view(autoencoder.between[0])(IMAGES, 16)
    losses = [model.evaluate(x, verbose=0) for x in (IMAGES, {"code": codes})]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert model.sample(3, seed=0).shape == (3, 8, 8, 1)
    assert model.sample(3, decode=False).shape == (3, *codes.shape[1:])
    assert model.log_prob(IMAGES[:2], steps=2).shape == (2,)


@pytest.mark.home("torch")
def test_a_killed_run_resumes_with_the_same_weights(tmp_path):
    assert_resumes(lambda: made(2, average=0.9), X, LABELS, tmp_path)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_and_draws(policy):
    keras.config.set_dtype_policy(policy)
    model = made()
    model.compile(optimizer="adam", run_eagerly=keras.backend.backend() != "jax")
    assert np.isfinite(model.fit(X, epochs=1, verbose=0).history["loss"]).all()
    assert np.isfinite(model.sample(2, steps=3)).all()


@pytest.mark.home("torch")
def test_bad_input_is_one_sentence():
    plain, conditional = made(), made(2)
    coded = Diffusion(nets.residual_mlp((2,), 8, 1), autoencoder=autoencoders()["plain"])
    for model in (plain, conditional):
        model.compile()
    cases = [
        (lambda: plain.fit(X, LABELS), "`y` is given, expected none"),
        (lambda: conditional.fit(X), "`y` is None, expected labels"),
        (lambda: plain.fit(X[:, :1]), r"`x` has shape \(64, 1\), expected"),
        (lambda: plain.sample(2, solver="euler"), "`solver` is 'euler', expected"),
        (lambda: plain.sample(2, guidance=2.0), "`guidance` is 2.0, expected 1"),
        (lambda: plain.sample(2, labels=1), "`labels` are given, expected none"),
        (lambda: plain.denoise(X, [0.1, 0.2]), "`noise` is .*, expected a positive number"),
        (lambda: plain.denoise(X, -1.0), "`noise` is -1.0, expected a positive number"),
        (lambda: plain.inpaint(X, np.ones((3, 2))), r"`known` has shape \(3, 2\), expected"),
        (lambda: coded.inpaint(IMAGES, True), "inpainted through an `autoencoder`"),
        (lambda: made(schedule="straight"), "`schedule` is 'straight', expected"),
        (lambda: made(schedule=schedules.Straight()), "expected one of 'log_normal'"),
        (lambda: made(predicts="score"), "`predicts` is 'score', expected"),
        (lambda: plain.sample(2, steps=0), "`steps` is 0"),
        (lambda: made(schedule="linear").sample(2, steps=1001), "`steps` is 1001, expected at"),
        (lambda: Diffusion(nets.mlp((4,), 2)[0]), r"expected one that takes \[x, level\]"),
        (lambda: Diffusion(nets.residual_mlp((2,), 8, 1, 3), classes=2), r"label, \(2,\)"),
        (lambda: Diffusion(nets.residual_mlp((3,)), autoencoder=autoencoders()["plain"]), "codes"),
        (lambda: Diffusion(nets.residual_mlp((2,)), autoencoder=nets.mlp((4,), 2)[0]), "built"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
