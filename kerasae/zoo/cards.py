"""The model card of a preset, a page of markdown with pictures and numbers; the index of all.

`python -m kerasae.zoo.cards` writes the pages of all shipped presets again, from the catalogue.
"""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerasae import plots, presets
from kerasae.storage import files
from kerasae.zoo import catalogue
from kerasae.zoo.published import RESULTS, pages, runs
from kerasae.zoo.recipes import RECIPES
from kerasae.zoo.training import Recipe, Trained

INDEX = Path(__file__).parent / "README.md"
INTRODUCTION = (
    "# The zoo",
    "",
    "Models with weights, ready offline after the installation. Each was made by a",
    "[recipe](recipes), a few lines over the public API, and can be made again by the command",
    "on its card, on the data the package draws or on MNIST. [How to use them](USING.md) in a",
    "project of your own.",
    "",
    "```bash",
    "python -m kerasae list",
    "python -m kerasae show vae_2_strokes",
    "python -m kerasae train vae_2 --dataset kmnist",
    "python -m kerasae evaluate vae_2_strokes",
    "```",
    "",
)
PUBLISHED = (
    "# Published numbers, and ours",
    "",
    "On the real MNIST, by `python -m kerasae reproduce NAME`. *Reproduced*: with the same data",
    "and the same measure, within the distance that the card names. *Trend reproduced*: the order",
    "or the size of the effect, with less training or a smaller network. Ours is the median of all",
    "runs; the cards have each run, and why a number was not reached.",
    "",
    "*Seen in the source*: somebody has read the number there. *Quoted*: another source says that",
    "the publication has it. *From memory*: nobody has looked it up yet, so the comparison holds",
    "only as far as the memory does.",
    "",
)
EXPECTED = (
    "# What theory expects, and ours",
    "",
    "Nobody had to publish these numbers: they follow from a theorem, or are computed from the",
    "same images by another method.",
    "",
)


def write(made: Trained) -> None:
    """Write `README.md` and its pictures into the folder of a preset.

    Args:
        made: Preset, as it was trained.
    """
    figures = {name: draw(made.model, made.test) for name, draw in made.recipe.pictures.items()}
    figures["training"] = _curve(made.history)
    for name, figure in figures.items():
        figure.savefig(made.folder / f"{name}.png", dpi=90)
    files.write(made.folder / presets.CARD, text(catalogue.preset(made.folder), made.recipe))


def escaped(text: str) -> str:
    r"""Return text that Markdown and HTML show as it stands.

    The text of an entry comes from a file, and may be a link or a script.

    Args:
        text: Text of one line.

    Example:
        >>> print(escaped("[press](https://evil) <script> a|b"))
        \[press\](https://evil) &lt;script&gt; a\|b
    """
    text = re.sub(r"&(?=#?\w+;)", "&amp;", re.sub(r"([\\`*\[\]|])", r"\\\1", text))
    return text.replace("<", "&lt;").replace(">", "&gt;")


def text(entry: catalogue.Preset, recipe: Recipe) -> str:
    """Return the page of a preset.

    Args:
        entry: Entry of the preset.
        recipe: Recipe of the preset.
    """
    measures = [
        f"| {escaped(name)} | {value:.4g} | ± {tolerance:.2g} | {escaped(unit)} |"
        for name, (value, tolerance, unit) in entry.measures.items()
    ]
    pictures = [
        line
        for name, draw in recipe.pictures.items()
        for caption in [_caption(draw)]
        for line in (f"![{caption}]({name}.png)", "", f"*{caption}*", "")
    ]
    versions = escaped(" · ".join(f"{name} {number}" for name, number in entry.versions.items()))
    options = "" if entry.budget == "full" else f" --budget {entry.budget}"
    options += f" --seed {entry.seed}" if entry.seed else ""
    command = f"python -m kerasae train {shlex.quote(entry.name)}{options}"
    lines = [
        f"# {escaped(entry.name)}",
        "",
        f"{escaped(entry.title)}.",
        "",
        "```python",
        f"from kerasae import {entry.model}",
        "",
        f"model = {entry.model}.from_preset({json.dumps(entry.name, ensure_ascii=False)})",
        "```",
        "",
        *pictures,
        f"Measured on the test images of {entry.dataset}; another backend may differ by the",
        "tolerance.",
        "",
        "| | value | tolerance | |",
        "|---|--:|--:|---|",
        *measures,
        "",
        "| | |",
        "|---|---|",
        f"| model | `{entry.model}`, {entry.parameters:,} numbers, {entry.bytes / 1e6:.2f} MB |",
        f"| data | {entry.dataset}, {entry.images:,} images |",
        f"| training | {entry.epochs} epochs, {entry.seconds:.0f} s, seed {entry.seed} |",
        f"| made with | {versions} |",
        f"| paper | {escaped(entry.paper)} |",
        "",
        "Made, and made again, by",
        "",
        f"    KERAS_BACKEND={entry.backend} {command}",
        "",
        "![The training curve](training.png)",
        "",
    ]
    return "\n".join(lines)


def index() -> str:
    """Return the page of all shipped presets: a picture, the headline, a link to each card."""
    rows = []
    for entry in catalogue.presets():
        picture = next(iter(RECIPES[entry.recipe].pictures))
        where = f"presets/{entry.name}"
        rows += [
            f"## [{entry.name}]({where}/{presets.CARD})",
            "",
            f"{escaped(entry.title)}. `{entry.model}`, {entry.bytes / 1e6:.2f} MB; "
            f"{escaped(entry.headline)}.",
            "",
            f"![{escaped(entry.title)}]({where}/{picture}.png)",
            "",
        ]
    return "\n".join([*INTRODUCTION, *_results(), "# The presets", "", *rows])


def _caption(draw: Callable) -> str:
    """Return the caption of a picture: what its function says that it draws."""
    said = draw.__doc__.splitlines()[0].removeprefix("Draw ")
    return said[0].upper() + said[1:]


def _results() -> list[str]:
    """Return the lines of the tables of all published results that were run."""
    every = [(each, runs.entries(runs.SHIPPED / name)) for name, each in RESULTS.items()]
    done = [(each, entries) for each, entries in every if entries]
    link = runs.SHIPPED.relative_to(INDEX.parent).as_posix()
    lines = [*PUBLISHED, *pages.table(done, link, "published"), ""]
    return [*lines, *EXPECTED, *pages.table(done, link, "expected"), ""]


def _curve(history: dict[str, list]) -> Any:
    """Draw the loss: of both players of a game, of the last phase of a training in phases."""
    names = ("loss",)
    if "discriminator_loss" in history:
        names = ("discriminator_loss", "generator_loss")
    elif "fine_tuning_loss" in history:
        names = ("fine_tuning_loss",)
    elif "prior_loss" in history:
        names = ("prior_loss",)
    return plots.history(history, names)


def main() -> None:
    """Write every card and the index again."""
    for entry in catalogue.presets():
        page = text(entry, RECIPES[entry.recipe])
        files.write(presets.find(entry.name) / presets.CARD, page)
    for name, result in RESULTS.items():
        folder = runs.SHIPPED / name
        if entries := runs.entries(folder):
            files.write(folder / pages.CARD, pages.card(result, entries))
    files.write(INDEX, index())


if __name__ == "__main__":
    main()
