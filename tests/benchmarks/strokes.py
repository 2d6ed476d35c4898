"""How fast strokes are drawn, and how well a classifier that saw nothing else reads MNIST.

KERASAE_DATA=folder/with/mnist.npz python tests/benchmarks/strokes.py --seeds 3
"""

import argparse
import statistics
import time

import keras

from kerasae import datasets
from kerasae.datasets import strokes


def main() -> None:
    """Draws images five times, then trains and tests one classifier a seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="classifiers (default: %(default)s)")
    parser.add_argument("--images", type=int, default=14_000, help="timed (default: %(default)s)")
    parser.add_argument("--examples", type=int, default=12_000, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=6, help="default: %(default)s")
    options = parser.parse_args()

    seconds = []
    for _ in range(5):
        start = time.process_time()
        strokes.generate(options.images, seed=0)
        seconds.append(time.process_time() - start)
    print(
        f"{options.images:,} images in {statistics.median(seconds):.2f} s of one core, median of 5"
    )

    images, labels, _ = strokes.generate(options.examples, seed=0)
    _, test = datasets.load("mnist")
    scores = []
    for seed in range(options.seeds):
        keras.utils.set_random_seed(seed)
        model = classifier()
        model.fit(images / 255.0, labels, epochs=options.epochs, batch_size=64, verbose=0)
        scores.append(100 * model.evaluate(test.x, test.y, verbose=0, return_dict=True)["accuracy"])
        print(f"seed {seed}: {scores[-1]:.2f} % of MNIST's test digits")
    print(f"mean {statistics.mean(scores):.2f} %, {keras.backend.backend()}")


def classifier() -> keras.Model:
    """Two convolutions and two dense layers, without augmentation."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.4),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


if __name__ == "__main__":
    main()
