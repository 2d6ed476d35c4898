"""The command line: `python -m kerasae demo` trains an autoencoder and draws what it learned."""

import argparse
import sys
import time
from pathlib import Path


def main() -> None:
    """Reads the command line and runs the command."""
    parser = argparse.ArgumentParser(prog="python -m kerasae", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo_parser = commands.add_parser(
        "demo", help="train a denoising autoencoder on handwriting in under two minutes"
    )
    demo_parser.add_argument(
        "--output", type=Path, default=Path("demo"), help="folder for the pictures (%(default)s)"
    )
    demo_parser.add_argument("--epochs", type=int, default=15, help="default: %(default)s")
    demo_parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        demo_parser.error(f"--output is {arguments.output}, expected a folder ({error})")
    try:
        demo(arguments.output, arguments.epochs, arguments.seed)
    except KeyboardInterrupt:
        print("\nstopped")
        sys.exit(130)


def demo(output: Path, epochs: int, seed: int) -> None:
    """Trains a denoising autoencoder on drawn digits and writes three pictures.

    Args:
        output: Folder for `demo.png`, `sheet.png` and `walk.png`.
        epochs: Passes over the 12,000 training images.
        seed: Of the weights, the order and the noise.
    """
    import keras
    import numpy as np

    from kerasae import Autoencoder, datasets, nets, plots
    from kerasae.corruptions import MaskingNoise

    started = time.monotonic()
    keras.utils.set_random_seed(seed)
    train, test = datasets.load("digits")
    encoder, decoder = nets.mlp(train.x.shape[1:], code_size=32, units=(512,))
    model = Autoencoder(encoder, decoder, corruption=MaskingNoise(0.5))
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="binary_crossentropy")
    model.fit(train.x, validation_data=(test.x,), batch_size=128, epochs=epochs)

    first = [int(np.flatnonzero(test.y == digit)[0]) for digit in range(10)]
    clean = test.x[first]
    hidden = np.random.default_rng(seed).random(clean.shape) < 0.5
    broken = np.where(hidden, 0, clean)
    plots.image_rows(
        {
            "drawn": clean,
            "half the pixels off": broken,
            "restored from\n32 numbers": model.reconstruct(broken),
        },
        "A denoising autoencoder guesses what is not in the input",
    ).savefig(output / "demo.png")
    plots.image_sheet(train.x[:128], 16, "strokes: handwriting drawn from curves").savefig(
        output / "sheet.png"
    )
    walk = model.interpolate(clean[[2, 4, 7]], clean[[3, 9, 1]], steps=12)
    plots.image_rows(
        {"2 to 3": walk[0], "4 to 9": walk[1], "7 to 1": walk[2]}, "Straight lines between codes"
    ).savefig(output / "walk.png")
    print(f"{time.monotonic() - started:.0f} s; pictures in {output.resolve()}")


if __name__ == "__main__":
    main()
