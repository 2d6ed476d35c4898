"""Runs the course, measures its claims and writes its pages.

    python notebooks/course run --output build/notebooks   execute all, with a gallery
    python notebooks/course run --in-place                 refresh the committed outputs
    python notebooks/course pages                          rewrite index, errata and thumbnails
    python notebooks/course student --output build/student copies without the exercises' solutions
    python notebooks/course slides --output build/slides   slides for the lecture hall
    python notebooks/course calibrate 05 06                claims on three backends, four seeds
    python notebooks/course list --backend jax             paths of those that CI runs on JAX,
                                                           the one that takes longest first

Names of notebooks, or how they start, choose some of them.
"""

import argparse
import math
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from course import slides
from course.calibrate import BACKENDS, SEEDS, calibrate
from course.pages import write
from course.read import HERE, LEDGER, notebooks
from course.run import run
from course.student import copy


def main() -> int:
    """Reads the command line and does what it says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="course",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run_parser = commands.add_parser("run", help="execute the notebooks")
    where = run_parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--output", type=Path, help="folder for executed notebooks and gallery")
    where.add_argument("--in-place", action="store_true", help="replace the stored outputs")
    commands.add_parser("pages", help="rewrite index, errata, thumbnails and the README's gallery")
    student = commands.add_parser("student", help="copies without the exercises' solutions")
    student.add_argument("--output", type=Path, required=True, help="folder for the copies")
    deck = commands.add_parser("slides", help="slides of the cells that make a lecture")
    deck.add_argument("--output", type=Path, required=True, help="folder for the pages")
    measure = commands.add_parser("calibrate", help="measure claims over backends and seeds")
    measure.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    measure.add_argument("--seeds", nargs="+", default=SEEDS, type=int)
    measure.add_argument("--jobs", default=2, type=int, help="notebooks at a time")
    listing = commands.add_parser("list", help="print the notebooks' paths")
    listing.add_argument("--backend", choices=BACKENDS, help="only those that CI runs on it")
    for command in (run_parser, student, deck, measure, listing):
        command.add_argument("names", nargs="*", help="only notebooks whose name starts like this")
    options = parser.parse_args()
    if options.command == "pages":
        write()
        return 0
    paths = notebooks(options.names)
    if options.command == "list":
        at_home = [p for p in paths if options.backend in (None, LEDGER[p.stem]["backend"])]
        at_home.sort(key=lambda path: LEDGER[path.stem].get("seconds", math.inf), reverse=True)
        print(*(os.path.relpath(path) for path in at_home))
        return 0
    if options.command == "run":
        return run(paths, HERE if options.in_place else options.output)
    if options.command == "student":
        return copy(paths, options.output)
    if options.command == "slides":
        return slides.write(paths, options.output)
    return min(calibrate(paths, options.backends, options.seeds, options.jobs), 1)


if __name__ == "__main__":
    sys.exit(main())
