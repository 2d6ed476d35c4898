"""Make the fixed networks again: `python -m kerasae.evaluation.networks`."""

import argparse

import keras
import numpy as np
from keras import layers

from kerasae import datasets, presets
from kerasae.evaluation.factors import is_category
from kerasae.evaluation.networks import FEATURES, FOLDER, NAMES

FILTERS = (16, 32, 32)

# Name: data set, size of its images, the factors that the network predicts.
RECIPES = {
    "digits": ("strokes", None, ("digit", "thickness", "slant", "rotation", "width")),
    "faces": ("faces", 32, tuple(datasets.faces.FACTORS)),
}


def network(train: datasets.Split, factors: tuple[str, ...]) -> keras.Model:
    """Return an untrained network: images to `features` and, by name, predictions of factors."""
    x = inputs = keras.Input(train.x.shape[1:])
    for channels in FILTERS:
        x = layers.Conv2D(channels, 3, 2, "same", activation="relu")(x)
    features = layers.Dense(FEATURES, name="features")(layers.Flatten()(x))
    x = layers.ReLU()(features)
    outputs = {"features": features}
    for name in factors:
        values = train.factors[name]
        if is_category(values):
            head = layers.Dense(int(values.max()) + 1, "softmax", name=name)
        else:  # in the factor's own units
            mean = keras.initializers.Constant(float(values.mean()))
            head = layers.Dense(1, bias_initializer=mean, name=name)
        outputs[name] = head(x)
    return keras.Model(inputs, outputs)


def make(name: str, images: int, epochs: int, batch_size: int = 64) -> keras.Model:
    """Train a network and print the quality of its predictions on new images."""
    data, size, factors = RECIPES[name]
    keras.utils.set_random_seed(0)
    train, test = datasets.load(data, train=images, test=images // 10, size=size)
    model = network(train, factors)
    learner = keras.Model(model.inputs, {key: model.output[key] for key in factors})
    category = {key: is_category(train.factors[key]) for key in factors}
    learner.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(2e-3, epochs * -(-images // batch_size))
        ),
        loss={
            key: "sparse_categorical_crossentropy" if category[key] else "mse" for key in factors
        },
        loss_weights={
            key: 1.0 if category[key] else float(1 / train.factors[key].var()) for key in factors
        },
    )
    targets = {key: train.factors[key] for key in factors}
    learner.fit(train.x, targets, batch_size=batch_size, epochs=epochs, verbose=2)
    for key, value in learner.predict(test.x, verbose=0).items():
        truth = test.factors[key]
        if category[key]:
            print(f"{key}: accuracy {np.mean(value.argmax(axis=1) == truth):.3f}")
        else:
            print(f"{key}: R² {1 - np.mean((value[:, 0] - truth) ** 2) / truth.var():.3f}")
    return model


def main() -> None:
    """Make the network that `--only` names, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m kerasae.evaluation.networks", description=__doc__
    )
    parser.add_argument("--only", choices=NAMES, help="all if left out")
    parser.add_argument("--images", type=int, default=60_000, help="to train on")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--folder", default=FOLDER, help="where their folders are written")
    arguments = parser.parse_args()
    for name in [arguments.only] if arguments.only else NAMES:
        model = make(name, arguments.images, arguments.epochs)
        presets.save(model, f"{arguments.folder}/{name}")


if __name__ == "__main__":
    main()
