"""The command line of the zoo.

python -m kerasae list                 the presets, and what was measured of them
python -m kerasae show vae_2_strokes   the card of one: how it was made, and its numbers
python -m kerasae train vae_2          make it, or one like it: --dataset mnist, --seed 1
python -m kerasae evaluate vae_2_strokes
python -m kerasae reproduce            published numbers that can be reproduced
python -m kerasae reproduce vae_of_pytorch --seed 1         or: all
python -m kerasae demo                 pictures in under two minutes
"""

import argparse
import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Read the command line and run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m kerasae",
        description="Autoencoders and generative models, ready for use and ready to be made again.",
        epilog="The backend is that of $KERAS_BACKEND: tensorflow, jax or torch.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="list the presets that ship")
    show_parser = commands.add_parser("show", help="print the card of a preset")
    show_parser.add_argument("name", metavar="NAME", help="a preset, or the folder of one")
    train_parser = commands.add_parser(
        "train",
        help="train a recipe, and write a preset with its card",
        description="Train a recipe and write a preset with its card to OUTPUT/NAME. If a run is "
        "interrupted, the same command resumes it.",
    )
    train_parser.add_argument("name", metavar="NAME", help="a recipe or a preset, see `list`")
    train_parser.add_argument(
        "--dataset", help="mnist, kmnist, fashion_mnist for recipes on digits (default: strokes)"
    )
    _add_budget(train_parser, "full: what the zoo's preset took; fast: a first idea in a minute")
    train_parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    train_parser.add_argument(
        "--output", type=Path, default=Path("zoo"), help="folder of the preset (%(default)s)"
    )
    evaluate_parser = commands.add_parser(
        "evaluate",
        help="measure a preset again and compare it with its card",
        description="Measure a preset on test images and compare it with its card; fail if they "
        "differ by more than the tolerance.",
    )
    evaluate_parser.add_argument("name", metavar="NAME", help="a preset, or the folder of one")
    evaluate_parser.add_argument(
        "--dataset",
        help="other images than those of the training; the card has no numbers for them",
    )
    reproduce_parser = commands.add_parser(
        "reproduce",
        help="reproduce a published number, and write it beside ours",
        description="Train with a publication's settings on the real MNIST and write a card with "
        "both numbers to OUTPUT/NAME. If a run is interrupted, the same command resumes it. "
        "Without a name, list all reproductions.",
    )
    reproduce_parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="a reproduction; `all`: each that has no such run in OUTPUT yet",
    )
    _add_budget(reproduce_parser, "full: the publication's settings; fast: a first idea")
    reproduce_parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    reproduce_parser.add_argument(
        "--output",
        type=Path,
        default=Path("reproduced"),
        help="folder of the card's folder (%(default)s)",
    )
    demo_parser = commands.add_parser(
        "demo", help="train a denoising autoencoder on handwriting in under two minutes"
    )
    demo_parser.add_argument(
        "--output", type=Path, default=Path("demo"), help="folder for the pictures (%(default)s)"
    )
    demo_parser.add_argument("--epochs", type=int, default=15, help="default: %(default)s")
    demo_parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    arguments = parser.parse_args()
    lists = arguments.command == "reproduce" and arguments.name is None
    if hasattr(arguments, "output") and not lists:
        try:
            arguments.output.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            parser.error(f"--output is {arguments.output}, expected a folder ({error})")
    options = {key: value for key, value in vars(arguments).items() if key != "command"}
    command = {
        "list": list_,
        "show": show,
        "train": train,
        "evaluate": evaluate,
        "reproduce": reproduce,
        "demo": demo,
    }[arguments.command]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal may lack a card's Greek letters
    again = arguments.command in ("train", "reproduce")
    resumes = again * "; the same command resumes the run"

    def fail(sentence: object, code: int) -> None:
        print(f"python -m kerasae {arguments.command}: {sentence}", file=sys.stderr)
        sys.exit(code)

    try:
        command(**options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nstopped" + resumes)
        sys.exit(130)
    except BrokenPipeError:  # `list | head` stops reading, and Python would report it at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ModuleNotFoundError as error:
        missing = str(error.name).split(".")[0]
        fail(f"{missing} is not installed, expected `pip install kerasae[notebooks]`.", 2)
    except (ValueError, FileNotFoundError, ImportError) as error:
        fail(error, 2)
    except OSError as error:
        place = f"`{error.filename}`" if error.filename else "A file"
        reason = error.strerror or error
        fail(f"{place} cannot be written or read ({reason}): expected room and rights{resumes}.", 1)


def _add_budget(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument(
        "--budget", choices=("fast", "full"), default="full", help=f"{text} (%(default)s)"
    )


def list_() -> None:
    """Print the catalogue as a table."""
    from kerasae import zoo

    rows = [
        (preset.name, preset.model, preset.headline, f"{preset.bytes / 1e6:.1f} MB", preset.title)
        for preset in zoo.presets()
    ]
    rows = [("preset", "model", "measured on test images", "size", "what it is"), *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for *cells, last in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), last)
    print("\nModel.from_preset(NAME) loads one; `python -m kerasae train NAME` makes it again.")


def show(name: str) -> None:
    """Print the card of a preset.

    Args:
        name: Name or folder of the preset.
    """
    from kerasae import presets
    from kerasae.places import printable

    card = presets.find(name) / presets.CARD
    if not card.is_file():
        raise ValueError(
            f"`{name}` has no card, expected a preset of the zoo, or one that `train` has made."
        )
    for line in card.read_text(encoding="utf-8").splitlines():
        print(printable(line))  # a card may come from elsewhere
    print(f"In {card.parent}")


def train(name: str, dataset: str | None, budget: str, seed: int, output: Path) -> None:
    """Train a recipe and write a preset.

    Args:
        name: Name of a recipe or a preset.
        dataset: Data set to train on; `None` for that of the name.
        budget: Either `"full"` or `"fast"`.
        seed: Seed of the weights, the order and the noise.
        output: Folder of the preset's folder.
    """
    import keras

    from kerasae import zoo
    from kerasae.zoo import recipe, recipes

    found, data, preset = recipes.find(name, dataset)
    amount = getattr(found, budget)
    print(f"{preset}: {found.title}\n{amount.images:,} images, {amount.epochs} epochs, on", end=" ")
    print(keras.backend.backend(), end="")
    shipped = {each.name: each for each in zoo.presets()}.get(preset)
    if shipped and budget == "full":
        print(f"; the zoo's took {shipped.seconds:.0f} s of one core on {shipped.backend}", end="")
    print(flush=True)
    verbose = "auto" if sys.stdout.isatty() else 2
    made = recipe.train(found, data, output / preset, budget, seed, verbose)
    for measure, value in made.measures.items():
        said = ""
        if shipped and measure in shipped.measures:
            said = f", the zoo's {shipped.measures[measure].value:.4g}"
        print(f"{measure}: {value}{said}")
    print(f'{made.model}.from_preset("{output / preset}")')


def evaluate(name: str, dataset: str | None) -> None:
    """Measure a preset again, and exit with 1 if its card has other numbers.

    Args:
        name: Name or folder of the preset.
        dataset: Data set to measure on; `None` for that of the training.
    """
    from kerasae.zoo import catalogue, recipe, recipes

    entry = catalogue.preset(name)
    found, data, _ = recipes.find(entry.recipe, entry.dataset if dataset is None else dataset)
    measured = recipe.evaluate(name, found, data)
    same = data == entry.dataset
    for measure, (value, holds) in measured.items():
        line = f"{measure}: {value}"
        if same:
            said = entry.measures[measure]
            line += f", the card says {said.value:.4g} ± {said.tolerance:.2g}"
            line += "" if holds else ": NOT THE SAME"
        print(line)
    if same and not all(holds for _, holds in measured.values()):
        sys.exit(1)


def reproduce(name: str | None, budget: str, seed: int, output: Path) -> None:
    """Run a reproduction and print both numbers, or list all.

    Args:
        name: Name of a reproduction, `"all"` for those that were not run yet, or `None`.
        budget: Either `"full"` or `"fast"`.
        seed: Seed of the weights, the order and the noise.
        output: Folder of the card's folder.
    """
    from kerasae.zoo import reproduction, reproductions

    every = reproductions.REPRODUCTIONS
    if name is None:
        width = max(map(len, every))
        for key, found in every.items():
            print(f"{key.ljust(width)}  {found.title}")
        return
    names = [name]
    if name == "all":
        names = [key for key in every if not reproduction.is_done(output / key, budget, seed)]
    verbose = "auto" if sys.stdout.isatty() else 2
    for key in names:
        found = reproductions.find(key)
        print(f"{found.title}\n{found.setting}", flush=True)
        entry = reproduction.run(found, output / key, budget, seed, verbose)
        for number, ours in entry["numbers"].items():
            said = found.published.get(number)
            print(f"{number}: {ours:.5g}" + (f", published {said.value:.5g}" if said else ""))
        print(f"{found.verdict([entry])}, see {output / key / reproduction.CARD}")


def demo(output: Path, epochs: int, seed: int) -> None:
    """Train a denoising autoencoder on drawn digits and write three pictures.

    Args:
        output: Folder for `demo.png`, `sheet.png` and `walk.png`.
        epochs: Number of passes over the 12,000 training images.
        seed: Seed of the weights, the order and the noise.
    """
    import keras

    from kerasae import Autoencoder, checks, datasets, nets, plots
    from kerasae.corruptions import MaskingNoise
    from kerasae.zoo.measures import half_hidden
    from kerasae.zoo.pictures import one_of_each

    epochs = checks.positive("epochs", epochs)
    started = time.monotonic()
    keras.utils.set_random_seed(seed)
    train, test = datasets.load("digits")
    encoder, decoder = nets.mlp(train.x.shape[1:], code_size=32, units=(512,))
    model = Autoencoder(encoder, decoder, corruption=MaskingNoise(0.5))
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="binary_crossentropy")
    model.fit(train.x, validation_data=(test.x,), batch_size=128, epochs=epochs)

    clean = one_of_each(test)
    broken = half_hidden(clean, seed)
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
