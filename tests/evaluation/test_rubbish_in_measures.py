"""Rubbish to the measures of `kerasae.evaluation`: a clear sentence or a right result."""

import inspect

import keras
import numpy as np
import pytest
from rubbish import arrays, of_type, outcome, values, verdict

import kerasae
from kerasae import interpolation, nets
from kerasae.evaluation import (
    arithmetic,
    copies,
    features,
    latent,
    likelihood,
    manifold,
    networks,
    reconstruction,
    retrieval,
    samples,
)

pytestmark = pytest.mark.home("torch")

RNG = np.random.default_rng(0)
P, Q = RNG.random((2, 24, 5), dtype="float32")
COVARIANCE = np.eye(5, dtype="float32")
IMAGES = RNG.random((4, 28, 28, 1), dtype="float32")
LABELS = np.arange(24) % 3
FACTORS = {"slant": P[:, 0], "digit": LABELS}
DRAWS = {"samples": 3, "batch_size": 6, "seed": 0}
SHAPES = ("one axis too few", "one axis too many", "another size")  # of which many are right


@pytest.fixture(scope="module")
def models():
    keras.utils.set_random_seed(0)
    return {
        "encoder": nets.mlp((5,), 2, (4,))[0],
        "autoencoder": kerasae.Autoencoder(*nets.mlp((5,), 2, (4,))),
        "vae": kerasae.VariationalAutoencoder(*nets.mlp((5,), 2, (4,), posterior="diagonal")),
    }


def index(codes: np.ndarray, binary: bool):
    return retrieval.Index(codes, binary).query(k=2)


MEASURES = [  # each with good arguments; a text is the name of a model
    (interpolation.straight, {"start": P, "end": Q, "steps": 3}),
    (interpolation.spherical, {"start": P, "end": Q, "steps": 3}),
    (arithmetic.attribute_vector, {"codes": P, "has": LABELS == 0}),
    (arithmetic.analogy, {"having": P[:3], "lacking": P[3:6], "onto": Q[:2]}),
    (arithmetic.around, {"centre": P[0], "noise": 0.1, "rows": 3, "columns": 3, "seed": 0}),
    (features.first_layer_features, {"encoder": "encoder"}),
    (
        features.most_exciting,
        {"encoder": "encoder", "units": [0], "starts": 2, "steps": 2, "seed": 0}
        | {"every_start": False, "batch_size": 8},
    ),
    (features.activation_statistics, {"codes": P, "inactive": 0.1, "tolerance": 0.1}),
    (features.saturation, {"codes": P, "interval": (0, 1), "margin": 0.1}),
    (samples.energy_distance, {"x": P, "y": Q}),
    (samples.mmd, {"x": P, "y": Q, "bandwidths": (1.0,)}),
    (samples.two_sample, {"x": P, "y": Q, "distance": "energy", "permutations": 5, "seed": 0}),
    (samples.frechet_distance, {"x": P, "y": Q, "network": None}),
    (
        samples.frechet_of_normals,
        {"mean_x": P[0], "covariance_x": COVARIANCE, "mean_y": Q[0], "covariance_y": COVARIANCE},
    ),
    (copies.nearest, {"samples": P, "training": Q, "count": 2}),
    (copies.copying, {"samples": P, "training": Q, "held_out": P[:10], "seed": 0}),
    (samples.modes_covered, {"samples": P, "centres": Q[:4], "radius": 0.3, "least": 1}),
    (reconstruction.gradient_energy, {"images": IMAGES}),
    (
        latent.linear_probe,
        {"codes": P, "labels": LABELS, "test_codes": Q, "test_labels": LABELS, "ridge": 0.1},
    ),
    (latent.active_units, {"means": P, "threshold": 0.01}),
    (latent.aggregated_moments, {"means": P, "log_variances": Q}),
    (latent.variance_explained, {"codes": P, "factors": FACTORS, "examples": 20, "seed": 0}),
    (latent.mutual_information_gap, {"codes": P, "factors": FACTORS, "bins": 4}),
    (likelihood.log_likelihood, {"model": "vae", "x": P[:6], **DRAWS}),
    (likelihood.elbo, {"model": "vae", "x": P[:6], **DRAWS}),
    (likelihood.aggregated_samples, {"model": "vae", "x": P[:6], **DRAWS}),
    (manifold.spectrum, {"encoder": "encoder", "x": P[:6], "batch_size": 6}),
    (manifold.tangents, {"encoder": "encoder", "x": P[:6], "count": 1, "batch_size": 6}),
    (manifold.participation_ratio, {"singular_values": P}),
    (manifold.linearized, {"encoder": "encoder", "x0": P[:6], "x": Q[:6], "batch_size": 6}),
    (manifold.displacement, {"codes": P, "moved": Q}),
    (reconstruction.reconstruction_error, {"x": P, "reconstruction": Q, "kind": "squared"}),
    (reconstruction.squared_error, {"x": P, "reconstruction": Q}),
    (reconstruction.psnr, {"x": P, "reconstruction": Q, "peak": 1.0}),
    (reconstruction.hidden_pixel_error, {"x": P, "reconstruction": Q, "mask": P > 0.01}),
    (reconstruction.anomaly_scores, {"model": "autoencoder", "x": P, "kind": "squared"}),
    (reconstruction.anomaly_threshold, {"scores": P[:, 0].copy(), "quantile": 0.9}),
    (reconstruction.auc, {"scores": P[:, 0].copy(), "anomalous": LABELS == 1}),
    (retrieval.binary_codes, {"codes": P, "threshold": 0.5}),
    (index, {"codes": P, "binary": False}),
    (retrieval.Index(P).query, {"queries": Q, "k": 2}),
    (
        retrieval.Index(P).precision_at_k,
        {"labels": LABELS, "k": 2, "queries": Q, "query_labels": LABELS},
    ),
    (
        retrieval.Index(P).mean_average_precision,
        {"labels": LABELS, "queries": Q, "query_labels": LABELS},
    ),
    (networks.features, {"images": IMAGES, "network": "digits", "batch_size": 4}),
    (networks.attributes, {"images": IMAGES, "network": "digits", "batch_size": 4}),
]


@pytest.mark.parametrize(("measure", "good"), MEASURES, ids=lambda v: getattr(v, "__name__", ""))
def test_measures(measure, good, models):
    good = {
        name: models.get(value, value) if isinstance(value, str) else value
        for name, value in good.items()
    }
    measure(**good)
    wrong = []
    for name, value in good.items():

        def call(tried, name=name):
            return measure(**{**good, name: tried})

        parameter = inspect.signature(measure).parameters[name]
        if isinstance(value, np.ndarray):
            found = of_arrays(call, value, parameter)
        else:
            found = of_values(call, parameter)
        wrong += [f"{name} = {kind}: {complaint}" for kind, complaint in found]
    assert not wrong, "\n".join(wrong)


def of_arrays(call, good, parameter):
    """What is wrong, for each kind of array; labels and truths are asked for no numbers."""
    counts = good.dtype.kind == "f"
    for kind, (value, numbers) in arrays(good if counts else good.astype("float32")).items():
        if not (counts or numbers is None) or (value is None and parameter.default is None):
            continue
        found = verdict(call, value, numbers)
        if found and not (kind in SHAPES and found.startswith("accepted")):
            yield kind, found


def of_values(call, parameter):
    for value in values():
        _, error = outcome(call, value)
        found = of_type(error, parameter, value)
        if found:
            yield repr(value), found
