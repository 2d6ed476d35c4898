"""Flow matching: the mean velocity, its pairs, its solvers, and where it agrees with diffusion."""

import itertools

import exact
import keras
import numpy as np
import pytest
from contract import (
    assert_config_is_complete,
    assert_learns,
    assert_repeatable,
    assert_round_trips,
    assert_same_step_on_every_backend,
    trained,
)
from keras import ops
from scipy.optimize import linear_sum_assignment

from kerasae import Diffusion, FlowMatching, nets, priors
from kerasae.engine.host import on_host
from kerasae.models.flow_matching import nearest

RNG = np.random.default_rng(0)
MEANS, VARIANCE = [[-1.0, 0.0], [1.0, 0.5]], 0.05
LABELS = np.arange(64) % 2
X = (np.array(MEANS)[LABELS] + VARIANCE**0.5 * RNG.normal(size=(64, 2))).astype("float32")


def made(classes=None, **options):
    return FlowMatching(nets.residual_mlp((2,), 16, 1, classes), classes=classes, **options)


def exactly(**options):
    return FlowMatching(exact.network(MEANS, VARIANCE, velocity=True), standardize=False, **options)


def test_contract(other_backends, tmp_path):
    def pairing():
        return made(pairs="optimal")

    model, history = trained(pairing, X, None, {}, 6)
    assert_learns(model, history, {"matching"})
    assert_repeatable(pairing, X, None, {}, 6, model)
    assert_round_trips(model, X, other_backends, tmp_path)
    assert_config_is_complete(
        model, {"source": keras.saving.serialize_keras_object(priors.MixturePrior.ring(3))}
    )
    assert_same_step_on_every_backend(model, X, None, None, other_backends, tmp_path)


@pytest.mark.parametrize("schedule", ["straight", "circular"])
@pytest.mark.home("torch")
def test_the_readings_are_those_of_the_pair(schedule):
    model = made(schedule=schedule)
    start = RNG.normal(size=X.shape).astype("float32")
    s = RNG.random((64, 1), dtype="float32")
    x, start, s = map(ops.convert_to_tensor, (X, start, s))
    a, b = model.schedule.place(s)
    aim, weight = model.aim(x, start, s)
    assert weight is None
    near = 1e-3
    moved = [model.schedule.place(s + step) for step in (near, -near)]
    slope = (moved[0][0] * x + moved[0][1] * start - moved[1][0] * x - moved[1][1] * start) / (
        2 * near
    )
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (aim, slope)), atol=2e-3)
    clean, noise = (read(a * x + b * start, s, aim) for read in (model.clean, model.noisy))
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (clean, x)), atol=1e-5)
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (noise, start)), atol=1e-5)


@pytest.mark.home("torch")
def test_on_a_straight_path_euler_is_ddim():
    flow = exactly()
    diffusion = Diffusion(exact.network(MEANS, VARIANCE), predicts="clean", standardize=False)
    start = RNG.normal(size=(50, 2)).astype("float32")
    levels = np.linspace(0.05, 1, 12)
    run = flow._solver("euler", 1, None, 50, 1.0, 50)
    other = diffusion._solver("ddim", 1, None, 50, 1.0, 50)
    one, two = levels[0] * 0 + start, start * np.float32(1 / levels[0])
    one = (levels[0] * two).astype("float32")
    for t, after in itertools.pairwise(levels):
        one, _ = run.step("euler", one, t, after)
        two, _ = other.step("ddim", two, (1 - t) / t, max((1 - after) / after, 1e-9))
    np.testing.assert_allclose(one, two, atol=2e-3)


def test_the_field_gives_the_density():
    values, errors = exactly().log_prob(X, steps=200, errors=True)
    expected = exact.log_density(X, MEANS, VARIANCE)
    assert np.abs(values - expected).mean() < 0.02 and errors.mean() < 0.05


@pytest.mark.parametrize("solver", ["heun", "euler", "adaptive"])
def test_every_solver_ends_in_the_distribution(solver):
    samples = exactly().sample(2000, steps=60, solver=solver, tolerance=1e-3, seed=1)
    right = samples[:, 0] > 0
    assert abs(right.mean() - 0.5) < 0.05
    for mean, part in zip(MEANS, (samples[~right], samples[right]), strict=True):
        np.testing.assert_allclose(part.mean(axis=0), mean, atol=0.04)
        np.testing.assert_allclose(part.std(axis=0), VARIANCE**0.5, rtol=0.1)


def test_a_smaller_tolerance_is_nearer_to_the_end():
    start = RNG.normal(size=(50, 2)).astype("float32")
    errors = [each.max() for each in exact.off_by_tolerance(exactly(), start)]
    assert errors[2] < errors[1] < errors[0] and errors[2] < 2e-3


def test_optimal_pairs_have_the_least_sum_of_squares():
    start = RNG.normal(size=X.shape).astype("float32")
    model = made(pairs="optimal")
    paired = ops.convert_to_numpy(
        model.paired(ops.convert_to_tensor(start), ops.convert_to_tensor(X))
    )
    costs = ((X[:, None] - start[None]) ** 2).sum(-1)
    rows, columns = linear_sum_assignment(costs)
    assert ((X - paired) ** 2).sum() == pytest.approx(costs[rows, columns].sum(), rel=1e-5)
    assert sorted(map(tuple, paired)) == sorted(map(tuple, start))
    assert nearest(X, X).tolist() == list(range(64))


@pytest.mark.home("torch")
def test_optimal_pairs_lower_the_loss_and_bend_less():
    x = np.tile(X, (8, 1))
    losses = {}
    for pairs in ("independent", "optimal"):
        keras.utils.set_random_seed(0)
        model = made(pairs=pairs, source=priors.MixturePrior.ring(4, radius=2.0, stddev=0.2))
        model.compile(keras.optimizers.Adam(3e-3))
        losses[pairs] = model.fit(x, batch_size=128, epochs=15, verbose=0).history["loss"][-1]
    assert losses["optimal"] < 0.6 * losses["independent"]


def test_given_pairs_are_learned_until_one_step_is_enough():
    start = RNG.normal(size=(512, 2)).astype("float32")
    x = start @ np.array([[0.8, 0.6], [-0.6, 0.8]], "float32") + np.float32(0.5)
    model = made(standardize=False)
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit({"x": x, "start": start}, epochs=40, verbose=0).history["loss"]
    assert history[-1] < 0.01 < history[0]
    found = model.generate(start[:50], steps=1, solver="euler")
    assert np.abs(found - x[:50]).mean() < 0.1
    assert model.evaluate({"x": x, "start": start}, verbose=0)[0] < 0.01


def test_a_source_of_its_own():
    source = priors.MixturePrior.ring(4, radius=2.0, stddev=0.2)
    model = made(source=source)
    assert not model.standardize
    starts = model._starts(2000, seed=0)
    assert np.linalg.norm(starts, axis=1).mean() == pytest.approx(2.0, abs=0.05)
    model.compile()
    assert np.isfinite(model.fit(X, epochs=1, verbose=0).history["loss"]).all()
    assert model.sample(3).shape == (3, 2) and model.log_prob(X[:3], steps=3).shape == (3,)


def test_a_network_of_the_users_own():
    x, t = keras.Input((2,)), keras.Input((1,))
    hidden = keras.layers.Dense(8, "relu")(keras.layers.Concatenate()([x, t]))
    model = FlowMatching(keras.Model([x, t], keras.layers.Dense(2)(hidden)))
    model.compile()
    model.fit(X, epochs=1, verbose=0)
    assert model.sample(3, seed=0).shape == (3, 2) and model.log_prob(X[:5], steps=2).shape == (5,)


def test_numbers_go_to_the_host_and_back():
    x = ops.convert_to_tensor(np.array([3.0, 1.0, 2.0], "float32"))
    order = on_host(lambda x: np.argsort(np.asarray(x)).astype("int32"), (3,), "int32", x)
    assert ops.convert_to_numpy(order).tolist() == [1, 2, 0]


@pytest.mark.home("torch")
def test_bad_input_is_one_sentence():
    cases = [
        (lambda: made(pairs="best"), "`pairs` is 'best', expected"),
        (lambda: made(schedule="cosine"), "`schedule` is 'cosine', expected one of 'straight'"),
        (lambda: made(source="ring"), "`source` is of type str, expected one of"),
        (lambda: made().sample(2, solver="ancestral"), "`solver` is 'ancestral', expected"),
        (lambda: made().sample(2, solver="adaptive", path="clean"), "`path` is 'clean', exp"),
        (lambda: made().sample(2, path="all"), "`path` is 'all', expected"),
        (lambda: made().evaluate({"x": X, "start": X[:, :1]}), "`start` has shape"),
        (lambda: made().evaluate({"x": X, "start": X[:9]}), "`x` has 64, `start` has 9"),
        (lambda: made().evaluate({"x": X, "begin": X}), "`x` holds begin, x, expected x"),
        (lambda: made().sample(2, tolerance=2.0), "`tolerance` is 2.0"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
