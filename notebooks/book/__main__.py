"""Builds the book, the course and the zoo and the API as a site, and checks it in a browser.

python notebooks/book build --output build/book
python notebooks/book check build/book            in Chromium, without a network
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))


def build(output: Path) -> int:
    """Gathers the pages and has Sphinx render them, with slides; a warning is an error."""
    from book.pages import gather
    from course import read, slides

    shutil.rmtree(output, ignore_errors=True)  # nothing old stays, neither a page nor its warning
    with tempfile.TemporaryDirectory() as work:
        gather(Path(work, "pages"))
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", str(HERE)]
        command += ["-d", str(Path(work, "doctrees")), str(Path(work, "pages")), str(output)]
        slides.write(read.notebooks(), output / "slides")
        return subprocess.run(command).returncode


def main() -> int:
    """Reads the command line and does what it says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="book", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    build_parser = commands.add_parser("build", help="render all pages")
    build_parser.add_argument("--output", type=Path, required=True, help="folder for the site")
    check_parser = commands.add_parser("check", help="look at every page in a browser")
    check_parser.add_argument("site", type=Path, help="the folder that was built")
    options = parser.parse_args()
    if options.command == "build":
        return build(options.output)
    from book.check import check

    return check(options.site)


if __name__ == "__main__":
    sys.exit(main())
