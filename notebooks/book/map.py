"""The course's map as a picture: a line for each notebook, an arc from each to those it needs."""

import math
import re
from html import escape

STEP, LEFT, WIDTH = 30, 96, 480  # pixels: between lines, left of the titles, in all


def drawn(mermaid: str, pages: set[str]) -> str:
    """An SVG of a Mermaid flowchart whose nodes are numbers of notebooks."""
    titles = dict(re.findall(r'(\w+)\["(.*?)"\]', mermaid))
    places = {name: (index + 0.5) * STEP for index, name in enumerate(titles)}
    links = {page.rsplit("/")[-1][:2]: page for page in pages if page.endswith(".ipynb")}
    height, edge = len(titles) * STEP, LEFT - 8
    parts = [
        f'<svg class="map" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" '
        'aria-label="Which notebook builds on which">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>',
    ]
    for needed, name in re.findall(r"(\w+) --> (\w+)", mermaid):
        start, end = places[needed] + 4, places[name] - 4
        # The longer the way, the further out; three quarters of that is how far the arc comes.
        out = edge - 4 / 3 * edge * math.sqrt(abs(end - start) / height)
        parts.append(
            f'<path class="arc" d="M{edge} {start:g}C{out:.0f} {start:g} {out:.0f} {end:g} '
            f'{edge} {end:g}" marker-end="url(#tip)"/>'
        )
    for name, title in titles.items():
        text = f'<text x="{LEFT}" y="{places[name] + 5:g}">{escape(title)}</text>'
        page = links.get(name, "").rsplit("/")[-1].replace(".ipynb", ".html")
        parts.append(f'<a href="{page}">{text}</a>' if page else text)
    return "\n".join([*parts, "</svg>"])
