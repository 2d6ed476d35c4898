"""The pages of published results: the card of each, and the tables of all."""

from typing import Any

import numpy as np

from kerasae.zoo.published.result import Result

CARD, PICTURE, CURVES = "README.md", "picture.png", "curves.png"

Entries = list[dict[str, Any]]


def card(result: Result, entries: Entries) -> str:
    """Return the page of a published result: both numbers, every run, and the story.

    Args:
        result: The result.
        entries: Entries of its runs.
    """
    lines = [
        f"# {result.title}",
        "",
        f"**{result.verdict(entries).capitalize()}.** {result.setting}",
        "",
        *_numbers(result, entries),
        f"Published in: {result.source}.",
        "",
    ]
    if result.story:
        lines += [result.story, ""]
    if result.fell_short:
        lines += [f"**Where it falls short.** {result.fell_short}", ""]
    lines += ["| backend | seed | budget | epochs | seconds |", "|---|--:|---|---|--:|"]
    for entry in entries:
        counts = sorted(set(entry["epochs"].values()))
        lines.append(
            f"| {entry['backend']} {entry['version']}, Keras {entry['keras']} | {entry['seed']} "
            f"| {entry['budget']} | {', '.join(map(str, counts)) or '–'} | {entry['seconds']:.0f} |"
        )
    lines += ["", "```bash", f"python -m kerasae reproduce {result.name}", "```", ""]
    for picture in (PICTURE, CURVES):
        lines += [f"![{result.title}]({picture})", ""]
    return "\n".join(lines)


def _numbers(result: Result, entries: Entries) -> list[str]:
    """Return the lines of two tables: the numbers beside ours, and those of ours alone."""
    beside, alone = [], []
    for name in entries[0]["numbers"]:
        ours = _ours(entries, name)
        runs = f"{np.median(ours):.5g} | {min(ours):.5g} to {max(ours):.5g} | {len(ours)} |"
        reference = result.published.get(name)
        if reference:
            known = f"{reference.known}; {reference.note}" if reference.note else reference.known
            beside.append(f"| {name} | {reference.value:.5g} | {known} | {runs}")
        else:
            alone.append(f"| {name} | {runs}")
    lines = []
    if beside:
        lines += [
            f"| number | {result.kind} | known as | ours, median | least to largest | runs |",
            "|---|--:|---|--:|--:|--:|",
            *beside,
            "",
        ]
    if alone:
        lines += [
            "| measured by us alone | median | least to largest | runs |",
            "|---|--:|--:|--:|",
            *alone,
            "",
        ]
    return lines


def table(runs: list[tuple[Result, Entries]], link: str, kind: str) -> list[str]:
    """Return the lines of a table of results that were run: their numbers beside ours.

    Args:
        runs: Results, each with the entries of its runs.
        link: Link to the folder that contains theirs.
        kind: Kind of their numbers; results of another kind are left out.
    """
    lines = [f"| result | number | {kind} | known as | ours | |", "|---|---|--:|---|--:|---|"]
    for result, entries in runs:
        if result.kind != kind:
            continue
        first, verdict = f"[{result.title}]({link}/{result.name}/{CARD})", result.verdict(entries)
        for name, reference in result.published.items():
            ours = np.median(_ours(entries, name))
            lines.append(
                f"| {first} | {name} | {reference.value:.5g} | {reference.known} "
                f"| {ours:.5g} | {verdict} |"
            )
            first = verdict = ""
    return lines


def _ours(entries: Entries, name: str) -> list[float]:
    """Return a number of every run."""
    return [entry["numbers"][name] for entry in entries]
