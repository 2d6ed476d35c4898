"""Two fixed networks of images, for measures that need a space of features.

    image → three convolutions → 64 features → ReLU → factors of the image

They were trained to predict the known factors of the embedded sets, so their features describe
these and little else. They ship with the package and never change: numbers that were measured with
the same network can be compared.

    "digits"    28×28×1, on strokes: which digit; thickness, slant, rotation, width
    "faces"     32×32×3 (or 64×64×3, averaged down), on faces: all attributes, the smile first

On new images "digits" classifies 98.1 % of strokes correctly, and 96.1 % of MNIST's test set,
without training on MNIST; it explains .96 of the variance of the thickness, .81 of the slant, .52
of the width and .29 of the rotation. "faces" explains .95 to .999 of the variance of continuous
factors, and classifies all glasses and hair styles and 93 % of the extras correctly. 2,000 new
images are at a Fréchet distance of about 0.14 (digits) and 0.18 (faces) from 2,000 others.

`python -m kerasae.evaluation.networks` makes them again.
"""

import functools
from pathlib import Path

import keras
import numpy as np

from kerasae import checks, presets
from kerasae.engine.streams import predictions

FOLDER = Path(__file__).parent
NAMES = ("digits", "faces")
FEATURES = 64


@functools.cache
def load(name: str) -> keras.Model:
    """Return a network: images to a dictionary of `features` and all predictions.

    Args:
        name: Either `"digits"` or `"faces"`.

    Example:

    >>> list(load("digits").output)
    ['features', 'digit', 'thickness', 'slant', 'rotation', 'width']
    """
    model = presets.load(keras.Model, FOLDER / checks.one_of("name", name, NAMES))
    model.trainable = False
    return model


def features(
    images: np.ndarray, network: str | keras.Model = "digits", batch_size: int = 512
) -> np.ndarray:
    """Return the features of images; similar images have near features.

    Args:
        images: Images in [0, 1], of the network's size, or of twice its height and width.
        network: Name of a fixed network, or a model that returns one vector for each image, such
            as an encoder.
        batch_size: Number of images at a time.

    Returns:
        Array of shape `(n, 64)`, before the ReLU.

    Example:

    >>> features(np.zeros((5, 64, 64, 3)), "faces").shape
    (5, 64)
    """
    if isinstance(network, keras.Model):
        images = checks.to_numpy("images", images)
        outputs = predictions(network, images, batch_size)
        if not (hasattr(outputs, "shape") and len(outputs.shape) == 2):
            raise ValueError(
                "`network` gives no array (n, size), expected a vector for each image."
            )
        return outputs
    return _outputs(images, checks.one_of("network", network, NAMES), batch_size)["features"]


def attributes(
    images: np.ndarray, network: str = "faces", batch_size: int = 512
) -> dict[str, np.ndarray]:
    """Predict the factors of images by a fixed network, in the units of the data set.

    Args:
        images: Images in [0, 1], of the network's size, or of twice its height and width.
        network: Either `"digits"` or `"faces"`.
        batch_size: Number of images at a time.

    Returns:
        Predictions by name: of a continuous factor `(n,)`, of a category the probabilities
        `(n, kinds)`.

    Example:

    >>> from kerasae.datasets import faces
    >>> factors = attributes(faces.render({"smile": [-1.0, 1.0], "glasses": [0, 1]}) / 255)
    >>> (factors["smile"] > 0).tolist(), factors["glasses"].argmax(axis=1).tolist()
    ([False, True], [0, 1])
    """
    outputs = _outputs(images, checks.one_of("network", network, NAMES), batch_size)
    outputs.pop("features")
    return {name: value[:, 0] if value.shape[1] == 1 else value for name, value in outputs.items()}


def _outputs(images: np.ndarray, name: str, batch_size: int) -> dict[str, np.ndarray]:
    model = load(name)
    height, width, channels = model.input_shape[1:]
    images = checks.to_numpy("images", images)
    if images.shape[1:] == (2 * height, 2 * width, channels):
        images = images.reshape(-1, height, 2, width, 2, channels).mean(axis=(2, 4))
    checks.check_array("images", images, (height, width, channels), unit_interval=True)
    size = checks.whole_number("batch_size", batch_size)
    outputs = predictions(model, images.astype("float32"), size)
    return {key: outputs[key] for key in model.output}  # Keras sorts them on one backend
