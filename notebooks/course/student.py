"""Copies of the notebooks for a class: the exercises are there, their solutions are not."""

from collections.abc import Iterable
from pathlib import Path

from course.read import HERE, is_solution


def copy(paths: Iterable[Path], output: Path) -> int:
    """Writes notebooks without solutions and stored outputs; returns 0."""
    import nbformat

    if output.resolve() == HERE:
        raise SystemExit("--output is the folder of the notebooks, expected another one.")
    output.mkdir(parents=True, exist_ok=True)
    for path in paths:
        document = nbformat.read(path, as_version=4)
        number, kept = 0, []
        for cell in document.cells:
            solution = is_solution(cell)
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
                if solution:
                    number += 1
                    cell.source = f"# Exercise {number}: yours"
                    cell.metadata = {}
            elif solution:
                continue  # what the solution shows
            kept.append(cell)
        document.cells = kept
        nbformat.write(document, output / path.name)
    print(f"{len(list(output.glob('*.ipynb')))} notebooks in {output}")
    return 0
