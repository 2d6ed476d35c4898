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
from collections.abc import Callable
from pathlib import Path

from kerasae.zoo import commands


def main() -> None:
    """Read the command line and run the command."""
    parser = _parser()
    options = vars(parser.parse_args())
    name = options.pop("command")
    lists = name == "reproduce" and options["name"] is None
    if "output" in options and not lists:
        try:
            options["output"].mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            parser.error(f"--output is {options['output']}, expected a folder ({error})")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal may lack a card's Greek letters
    command = {
        "list": commands.list_presets,
        "show": commands.show,
        "train": commands.train,
        "evaluate": commands.evaluate,
        "reproduce": commands.reproduce,
        "demo": commands.demo,
    }[name]
    _run(name, command, options)


def _run(name: str, command: Callable[..., None], options: dict) -> None:
    """Run a command; whatever goes wrong is one sentence."""
    advice = "; the same command resumes the run" if name in ("train", "reproduce") else ""

    def fail(sentence: object, code: int) -> None:
        print(f"python -m kerasae {name}: {sentence}", file=sys.stderr)
        sys.exit(code)

    try:
        command(**options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nstopped" + advice)
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
        fail(f"{place} cannot be written or read ({reason}): expected room and rights{advice}.", 1)


def _parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m kerasae",
        description="Autoencoders and generative models, ready for use and ready to be made again.",
        epilog="The backend is that of $KERAS_BACKEND: tensorflow, jax or torch.",
    )
    each = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    each.add_parser("list", help="list the presets that ship")
    shows = each.add_parser("show", help="print the card of a preset")
    shows.add_argument("name", metavar="NAME", help="a preset, or the folder of one")
    trains = each.add_parser(
        "train",
        help="train a recipe, and write a preset with its card",
        description="Train a recipe and write a preset with its card to OUTPUT/NAME. If a run is "
        "interrupted, the same command resumes it.",
    )
    trains.add_argument("name", metavar="NAME", help="a recipe or a preset, see `list`")
    trains.add_argument(
        "--dataset", help="mnist, kmnist, fashion_mnist for recipes on digits (default: strokes)"
    )
    _add_run(trains, "full: what the zoo's preset took; fast: a first idea in a minute")
    _add_output(trains, "zoo", "folder of the preset")
    evaluates = each.add_parser(
        "evaluate",
        help="measure a preset again and compare it with its card",
        description="Measure a preset on test images and compare it with its card; fail if they "
        "differ by more than the tolerance.",
    )
    evaluates.add_argument("name", metavar="NAME", help="a preset, or the folder of one")
    evaluates.add_argument(
        "--dataset",
        help="other images than those of the training; the card has no numbers for them",
    )
    reproduces = each.add_parser(
        "reproduce",
        help="reproduce a published number, and write it beside ours",
        description="Train with a publication's settings on the real MNIST and write a card with "
        "both numbers to OUTPUT/NAME. If a run is interrupted, the same command resumes it. "
        "Without a name, list all reproductions.",
    )
    reproduces.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="a reproduction; `all`: each that has no such run in OUTPUT yet",
    )
    _add_run(reproduces, "full: the publication's settings; fast: a first idea")
    _add_output(reproduces, "reproduced", "folder of the card's folder")
    shows_off = each.add_parser(
        "demo", help="train a denoising autoencoder on handwriting in under two minutes"
    )
    _add_output(shows_off, "demo", "folder for the pictures")
    shows_off.add_argument("--epochs", type=int, default=15, help="default: %(default)s")
    _add_seed(shows_off)
    return parser


def _add_run(parser: argparse.ArgumentParser, budgets: str) -> None:
    """Add what tells a run from others: the budget and the seed."""
    parser.add_argument(
        "--budget", choices=("fast", "full"), default="full", help=f"{budgets} (%(default)s)"
    )
    _add_seed(parser)


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")


def _add_output(parser: argparse.ArgumentParser, folder: str, text: str) -> None:
    parser.add_argument("--output", type=Path, default=Path(folder), help=f"{text} (%(default)s)")


if __name__ == "__main__":
    main()
