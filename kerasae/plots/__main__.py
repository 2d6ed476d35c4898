"""Draw the example of every picture: `python -m kerasae.plots build/plots`."""

import doctest
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from kerasae import plots


def examples() -> dict[str, Figure]:
    """Return the picture that each function's docstring draws, by the function's name."""
    pictures = {}
    for name in plots.__all__:
        parser, item = doctest.DocTestParser(), getattr(plots, name)
        scope = {**vars(plots), "np": np}
        for example in parser.get_examples(item.__doc__ or "") if callable(item) else ():
            exec(example.source, scope)
        if isinstance(scope.get("picture"), Figure):
            pictures[name] = scope["picture"]
    return pictures


def main() -> None:
    """Write one file for each picture into the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m kerasae.plots FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in examples().items():
        picture.savefig(folder / f"{name}.png")
        print(folder / f"{name}.png")


if __name__ == "__main__":
    main()
