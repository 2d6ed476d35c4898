"""Copies: the training examples nearest to samples, and whether samples are too near to them."""

from typing import NamedTuple

import numpy as np

from kerasae import checks
from kerasae.evaluation import pairs


def nearest(
    samples: np.ndarray, training: np.ndarray, count: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Find the training examples that are nearest to samples.

    Args:
        samples: Samples `(n, …)`.
        training: Examples of the same shape, `(m, …)`.
        count: Number of neighbours, the nearest first.

    Returns:
        Indices into `training` and Euclidean distances, both `(n, count)`.

    Example:

    >>> indices, distances = nearest([[0.2, 0.0]], [[5.0, 0.0], [0.2, 0.5]])
    >>> indices.tolist(), distances.tolist()
    ([[1]], [[0.5]])
    """
    samples, training = pairs.pair("samples", samples, "training", training)
    if checks.whole_number("count", count) > len(training):
        raise ValueError(f"`count` is {count}, expected at most {len(training)}, as in `training`.")
    indices, distances = [], []
    for start, squares in pairs.squared_distances(samples, training):
        candidates = np.argpartition(squares, count - 1, axis=1)[:, :count]
        # Computed again from differences, because a copy then has distance 0.
        chunk = samples[start : start + len(candidates)]
        exact = np.stack(
            [np.linalg.norm(chunk - training[column], axis=1) for column in candidates.T], axis=1
        )
        order = np.argsort(exact, axis=1, kind="stable")
        indices.append(np.take_along_axis(candidates, order, axis=1))
        distances.append(np.take_along_axis(exact, order, axis=1))
    return np.concatenate(indices), np.concatenate(distances)


class Copying(NamedTuple):
    """Evidence that samples are copies; see `copying`."""

    share: float
    error: float
    ratio: float


def copying(
    samples: np.ndarray, training: np.ndarray, held_out: np.ndarray, seed: int = 0
) -> Copying:
    """Measure whether samples are nearer to training examples than to held-out examples.

    If a model has learned the distribution, half of its samples are nearer to either set. The
    larger set is reduced to the size of the smaller one by a random draw, because a larger set has
    nearer examples.

    Args:
        samples: Samples of the model, `(n, …)`.
        training: Examples on which the model was trained.
        held_out: Other examples of the same distribution.
        seed: Seed of the draw from the larger set.

    Returns:
        The `share` of samples that are nearer to a training example, ½ of the ties included; its
        standard `error` around ½ if nothing is copied, which allows for neighbours that samples
        share; and the `ratio`, the median of the distance to the nearest training example over
        that to the nearest held-out one: 1 if nothing is copied, 0 for copies.

    Example:

    >>> samples, training, held_out = np.random.default_rng(0).normal(size=(3, 500, 4))
    >>> honest = copying(samples, training, held_out)
    >>> abs(honest.share - 0.5) < 3 * honest.error
    True
    >>> copying(training + 0.01, training, held_out).share
    1.0
    """
    _, training = pairs.pair("samples", samples, "training", training)
    samples, held_out = pairs.pair("samples", samples, "held_out", held_out)
    rng = np.random.default_rng(checks.whole_number("seed", seed, least=0))
    size = min(len(training), len(held_out))
    training, held_out = (
        part[np.sort(rng.choice(len(part), size, replace=False))] for part in (training, held_out)
    )
    (seen, to_seen), (new, to_new) = (
        [column[:, 0] for column in nearest(samples, part)] for part in (training, held_out)
    )
    nearer = np.where(to_seen == to_new, 0.5, to_seen < to_new)
    # If chance decides which half of all examples is the training set, the share is Σⱼ cⱼ sⱼ / n:
    # cⱼ samples have example j as the nearest of all, and sⱼ is 1 if j is in that half, else 0.
    counts = np.bincount(np.where(to_seen < to_new, seen, size + new), minlength=2 * size)
    variance = np.var(counts) * size**2 / (2 * size - 1)
    positive = np.maximum(to_new, np.finfo(float).tiny)
    return Copying(
        share=float(nearer.mean()),
        error=float(np.sqrt(variance) / len(samples)),
        ratio=float(np.median(np.where(to_seen == to_new, 1, to_seen / positive))),
    )
