"""The benchmarks in a tiny form: each runs, and its ways train the same thing."""

import json
import math
import re
import statistics
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import kerasae

sys.path.insert(0, str(Path(__file__).resolve().parent / "benchmarks"))

import contractive
import fit
import handwritten
import handwritten_gan
import strokes

ENGINE = keras.backend.backend()
ROUNDS = 2  # timed ones; a round to warm up comes first


def run(module, patch, capsys, *arguments):
    """The lines that a benchmark prints."""
    patch.setattr(sys, "argv", [module.__file__, *map(str, arguments)])
    module.main()
    return capsys.readouterr().out.splitlines()


def draw_ones(patch):
    """All engines' normal noise becomes 1: it stays in the mathematics, and is the same for all.

    Of a uniform number, ours makes a normal one: P(z < 1) becomes 1.
    """
    below_one = statistics.NormalDist().cdf(1)
    patch.setattr(kerasae.engine.noise, "uniform", lambda shape, seed: ops.full(shape, below_one))
    if ENGINE == "jax":
        import jax

        patch.setattr(jax.random, "normal", lambda key, shape, dtype=None: jax.numpy.ones(shape))
    elif ENGINE == "torch":
        import torch

        def normal(mean, std, size, generator=None, dtype=None, device=None):
            return torch.full(size, mean + std, dtype=dtype, device=device)

        patch.setattr(torch, "randn", lambda *shape, generator=None: torch.ones(*shape))
        patch.setattr(torch, "normal", normal)
    else:
        import tensorflow as tf

        def stateless_normal(shape, seed, mean=0.0, stddev=1.0, dtype="float32", alg=None):
            return mean + stddev * tf.ones(shape, dtype)

        patch.setattr(tf.random, "normal", tf.ones)
        patch.setattr(tf.random, "stateless_normal", stateless_normal)


def step_alike(patch):
    """PyTorch's Adam adds ε after the bias correction; here before it, as the others do."""
    if ENGINE == "torch":
        import torch

        class Adam(torch.optim.Adam):
            steps = 0

            def step(self):
                self.steps += 1
                (group,) = self.param_groups
                group["eps"] = 1e-7 / math.sqrt(1 - group["betas"][1] ** self.steps)
                super().step()

        patch.setattr(torch.optim, "Adam", Adam)


def start_alike(patch, name):
    """All ways start from the same numbers; returns the shapes that each of them has."""
    rng, shapes = np.random.default_rng(1), {}
    if name == "gan":
        sizes = handwritten_gan.GENERATOR, handwritten_gan.DISCRIMINATOR
        players = {each: handwritten_gan.initial(each, rng) for each in sizes}
        start = [array for arrays in players.values() for array in arrays]
        patch.setattr(handwritten_gan, "initial", lambda sizes, rng: players[sizes])
    else:
        start = handwritten.initial(name, rng)
        patch.setattr(handwritten, "initial", lambda name, rng: start)
    shapes["hand"] = [array.shape for array in start]
    for array in start:
        if array.ndim == 1:
            array += rng.uniform(-0.1, 0.1, array.shape).astype("float32")
    compiled = fit.compiled

    def from_start(model):
        if name == "gan":
            networks = model.generator, model.discriminator
            variables = [each for network in networks for each in network.trainable_variables]
        else:  # kernels first
            variables = sorted(model.trainable_variables, key=_place)
        way = "ours" if isinstance(model, kerasae.models.base.Model) else "keras"
        shapes[way] = [tuple(variable.shape) for variable in variables]
        for variable, array in zip(variables, start, strict=True):
            variable.assign(array)
        return compiled(model)

    patch.setattr(fit, "compiled", from_start)
    return shapes


def _place(variable):
    return -len(variable.shape), "codebook" in variable.path


def keep_reports(patch):
    """What each way reports, an epoch after the other."""
    reports, started = {}, fit.started

    def kept(way, epoch):
        reports[way] = []
        return lambda: reports[way].append(epoch())

    patch.setattr(
        fit, "started", lambda *given: {w: kept(w, epoch) for w, epoch in started(*given).items()}
    )
    return reports


def loss(report):
    """Of a loop by hand or of `fit`, where plain Keras's GAN reports its players' losses alone."""
    if isinstance(report, float):
        return report
    players = "discriminator_loss", "generator_loss"
    return report["loss"][0] if "loss" in report else sum(report[each][0] for each in players)


@pytest.mark.parametrize("name", fit.OURS)
def test_three_ways_train_the_same(name, monkeypatch, capsys, tmp_path):
    draw_ones(monkeypatch)
    step_alike(monkeypatch)
    shapes, reports = start_alike(monkeypatch, name), keep_reports(monkeypatch)
    path = tmp_path / "times.json"
    options = "--examples", fit.BATCH, "--rounds", ROUNDS, "--models", name, "--json", path
    *_, row = run(fit, monkeypatch, capsys, *options)

    ways = {"ours", "hand"} if (ENGINE, name) == ("jax", "gan") else set(fit.WAYS)
    times = json.loads(path.read_text())[name]
    assert times.keys() == ways
    assert all(len(each) == ROUNDS + 1 and min(each) > 0 for each in times.values())
    model, *cells = row.strip("| ").split(" | ")
    assert model == name and cells == fit.row(times)

    assert shapes.keys() == ways
    assert all(each == shapes["hand"] for each in shapes.values())

    # A batch an epoch: the losses of three steps, of which the later ones have felt Adam.
    losses = {way: [loss(each) for each in reports[way]] for way in ways}
    for way in ways:
        np.testing.assert_allclose(losses[way], losses["hand"], rtol=1e-4, err_msg=way)
    assert name == "gan" or losses["hand"][-1] < losses["hand"][0]
    for ours, plain in zip(reports["ours"], reports.get("keras", []), strict="keras" in ways):
        plain = {"reconstruction" if each == "nats" else each: plain[each] for each in plain}
        if name in ("variational", "gan"):
            assert plain.keys() | {"loss"} == ours.keys()
        for number, value in plain.items():
            np.testing.assert_allclose(value, ours[number], rtol=1e-4, err_msg=number)


@pytest.mark.home("torch")
def test_row_has_medians_and_ratios():
    times = {"ours": [9, 2, 4, 6], "keras": [9, 4, 4, 4], "hand": [9, 1, 2, 2]}
    assert fit.row(times) == ["4.00", "4.00", "2.00", "1.00", "2.00", "+5.0"]
    del times["keras"]
    assert fit.row(times) == ["4.00", "–", "2.00", "–", "2.00", "+5.0"]


@pytest.mark.home("torch")
def test_contractive_penalties_are_of_one_size(monkeypatch, capsys):
    first, compiled = [], contractive.compiled

    def seeded(*given):
        keras.utils.set_random_seed(1)
        model = compiled(*given)
        first.append({number: values[0] for number, values in model.history.history.items()})
        return model

    monkeypatch.setattr(contractive, "compiled", seeded)
    sizes = "--inputs", 24, "--units", 8, "--batch", 64
    _, *rows = run(contractive, monkeypatch, capsys, "--rounds", 1, *sizes)

    assert [row[:22].strip() for row in rows] == list(contractive.WAYS)
    ratios = [float(row.split("×")[1]) for row in rows]
    assert ratios[0] == 1 and all(0 < ratio < math.inf for ratio in ratios)
    plain, exact, projected, full = first
    for each in (exact, projected, full):
        np.testing.assert_allclose(each["reconstruction"], plain["loss"], rtol=1e-5)
    np.testing.assert_allclose(full["penalty"], exact["penalty"], rtol=1e-4)
    assert 0.7 < projected["penalty"] / exact["penalty"] < 1.4


@pytest.mark.home("torch")
def test_strokes_teach_to_read(monkeypatch, capsys, tmp_path):
    images, labels, _ = kerasae.datasets.strokes.generate(200, seed=7)  # for MNIST's digits
    digits = {"x_train": images[100:], "y_train": labels[100:]}
    digits |= {"x_test": images[:100], "y_test": labels[:100]}
    np.savez(tmp_path / "mnist.npz", **digits)
    monkeypatch.setenv("KERASAE_DATA", str(tmp_path))
    sizes = "--images", 500, "--examples", 320, "--epochs", 3
    drawn, *seeds, mean = run(strokes, monkeypatch, capsys, "--seeds", 1, *sizes)

    assert drawn.startswith("500 images in ") and float(drawn.split()[3]) >= 0
    assert len(seeds) == 1 and seeds[0].startswith("seed 0: ")
    assert float(seeds[0].split()[2]) > 35  # of a hundred; by chance ten
    assert float(mean.split()[1]) == float(seeds[0].split()[2])


@pytest.mark.home("torch")
def test_beside_pythae(monkeypatch, capsys):
    if ENGINE != "torch":
        pytest.skip("Pythae is of PyTorch")
    pytest.importorskip("pythae.models", reason="Pythae is not among the packages of the tests")
    import beside_pythae

    *_, line = run(beside_pythae, monkeypatch, capsys, "--rounds", 1, "--examples", 256)
    found = re.fullmatch(r"kerasae (.+) s, Pythae (.+) s, ratio (.+)", line)
    assert all(0 <= float(number) < math.inf for number in found.groups())
    theirs = *beside_pythae.Encoder().parameters(), *beside_pythae.Decoder().parameters()
    ours = fit.OURS["variational"]().trainable_variables
    assert sum(each.numel() for each in theirs) == sum(math.prod(each.shape) for each in ours)
