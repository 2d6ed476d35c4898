import keras
import numpy as np
import pytest

from kerasae import Autoencoder, nets
from kerasae.evaluation.reconstruction import (
    anomaly_scores,
    anomaly_threshold,
    auc,
    hidden_pixel_error,
    psnr,
    reconstruction_error,
)

pytestmark = pytest.mark.home("tensorflow")

RNG = np.random.default_rng(0)
X, Y = RNG.random((6, 4, 5, 3)), RNG.random((6, 4, 5, 3))


def test_errors_are_keras_losses_for_each_example():
    losses = {
        "squared": keras.losses.mean_squared_error,
        "absolute": keras.losses.mean_absolute_error,
        "cross_entropy": keras.losses.binary_crossentropy,
    }
    flat = [part.reshape(6, -1).astype("float32") for part in (X, Y)]
    for kind, loss in losses.items():
        expected = keras.ops.convert_to_numpy(loss(*flat))
        errors = reconstruction_error(X, Y, kind)
        assert errors.shape == (6,) and errors.dtype == "float64"
        np.testing.assert_allclose(errors, expected, rtol=1e-5)


def test_cross_entropy_stays_finite():
    error = reconstruction_error([[0.0, 1.0]], [[1.0, 0.0]], "cross_entropy")
    assert error == pytest.approx(-np.log(1e-7), rel=1e-6)
    assert reconstruction_error([[0.0, 1.0]], [[0.0, 1.0]], "cross_entropy") < 1e-6


def test_psnr():
    expected = [10 * np.log10(1 / ((x - y) ** 2).mean()) for x, y in zip(X, Y, strict=True)]
    np.testing.assert_allclose(psnr(X, Y), expected)
    np.testing.assert_allclose(psnr(255 * X, 255 * Y, peak=255), expected)
    np.testing.assert_allclose(psnr(X, Y, peak=10), np.asarray(expected) + 20)
    images = np.array([[0, 255]], "uint8"), np.array([[255, 0]], "uint8")
    assert psnr(*images, peak=255) == 0  # whole numbers must not wrap around
    assert psnr(X, X).tolist() == [np.inf] * 6


def test_hidden_pixels():
    mask = RNG.random((6, 4, 5, 3)) < 0.5
    expected = [((x - y) ** 2)[m].mean() for x, y, m in zip(X, Y, mask, strict=True)]
    np.testing.assert_allclose(hidden_pixel_error(X, Y, mask), expected)
    np.testing.assert_allclose(hidden_pixel_error(X, Y, mask.astype("float32")), expected)
    shown = np.where(mask, Y, X)  # only the hidden part is off
    np.testing.assert_allclose(hidden_pixel_error(X, shown, mask), expected)
    np.testing.assert_array_equal(hidden_pixel_error(X, shown, ~mask), 0)
    pixels = mask[0, :, :, :1]  # one mask for all, stretched over the channels
    whole = np.broadcast_to(pixels, X.shape)
    np.testing.assert_array_equal(hidden_pixel_error(X, Y, pixels), hidden_pixel_error(X, Y, whole))
    everything = hidden_pixel_error(X, Y, np.ones_like(X))
    np.testing.assert_allclose(everything, reconstruction_error(X, Y))


def test_anomaly_scores():
    model = Autoencoder(*nets.mlp((4, 5, 3), code_size=2, units=()))
    x = X.astype("float32")
    expected = ((x - model.reconstruct(x)) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(anomaly_scores(model, x), expected, rtol=1e-5)
    assert (anomaly_scores(model, x, "cross_entropy") > 0).all()


def test_threshold_lets_a_share_pass():
    scores = RNG.normal(size=10_001)
    for quantile in (0.5, 0.95, 1.0):
        share = (scores <= anomaly_threshold(scores, quantile)).mean()
        assert share == pytest.approx(quantile, abs=2e-4)


def test_auc_is_the_share_of_pairs_in_order():
    for size, levels in ((30, 5), (200, 1000), (50, 1)):
        scores, truths = RNG.integers(0, levels, size) / 7, RNG.random(size) < 0.3
        truths[:2] = True, False
        gaps = scores[truths][:, None] - scores[~truths][None]
        expected = (gaps > 0).mean() + 0.5 * (gaps == 0).mean()
        assert auc(scores, truths) == pytest.approx(expected, abs=1e-12)
        assert auc(-scores, truths) == pytest.approx(1 - expected, abs=1e-12)
        assert auc(scores, truths.astype(int)) == auc(scores, truths)


def test_auc_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    scores, truths = RNG.normal(size=500).round(1), RNG.random(500) < 0.2
    assert auc(scores, truths) == pytest.approx(metrics.roc_auc_score(truths, scores), abs=1e-12)


@pytest.mark.parametrize(
    "use, message",
    [
        (lambda: reconstruction_error(X, Y[:5]), r"`reconstruction` has shape \(5, .*, expected"),
        (lambda: reconstruction_error(X, Y, "log"), "`kind` is 'log', expected 'squared'"),
        (lambda: reconstruction_error(2 * X, Y, "cross_entropy"), "`x` holds values from .* to"),
        (lambda: reconstruction_error(X, 2 * Y, "cross_entropy"), "`reconstruction` holds values"),
        (lambda: reconstruction_error(X, Y * np.nan), "`reconstruction` holds NaN"),
        (lambda: psnr(X, Y, peak=0), "`peak` is 0, expected the largest value"),
        (lambda: hidden_pixel_error(X, Y, np.ones(7)), r"`mask` has shape \(7,\), expected one"),
        (
            lambda: hidden_pixel_error(X, Y, np.eye(6)[2][:, None, None, None] == 0),
            "`mask` hides nothing of example 2, expected at least one",
        ),
        (lambda: anomaly_threshold([1.0], 95), "`quantile` is 95, expected a number from 0 to 1"),
        (lambda: anomaly_threshold([]), r"`scores` has shape \(0,\), expected at least one"),
        (lambda: auc([1.0, 2.0], [True]), r"`anomalous` is bool of shape \(1,\), expected True"),
        (lambda: auc([1.0, 2.0], [1, 2]), "`anomalous` is int64 of shape .*, expected True"),
        (lambda: auc([1.0, 2.0], [1, 1]), "`anomalous` holds one kind only"),
        (lambda: auc([1.0, np.nan], [1, 0]), "`scores` holds NaN"),
    ],
)
def test_bad_arguments(use, message):
    with pytest.raises(ValueError, match=message):
        use()
