"""Short films of a training: figures one after the other, in one small picture that moves."""

import base64
import io
from collections.abc import Sequence

from matplotlib.figure import Figure


class Film:
    """A moving picture that a notebook shows as a GIF, and its last frame where GIFs do not move.

    Args:
        gif: The film, in the format GIF.
        still: Its last frame, in the format PNG.
    """

    def __init__(self, gif: bytes, still: bytes) -> None:
        self.gif, self.still = gif, still

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        gif, still = (base64.b64encode(part).decode() for part in (self.gif, self.still))
        image = f'<img alt="a film" src="data:image/gif;base64,{gif}">'
        return {"text/html": image, "image/png": still}


def film(frames: Sequence[Figure], seconds: float = 0.2, hold: float = 2.0) -> Film:
    """Return a film of figures of one size, which begins anew after its last frame.

    Args:
        frames: Figures in the order of the film, at least two.
        seconds: Time that a frame is shown.
        hold: Time that the last frame is shown.

    Example:

    >>> from kerasae.plots import figure
    >>> frames = [figure(title=f"epoch {epoch}")[0] for epoch in range(3)]
    >>> film(frames).gif[:3]
    b'GIF'
    """
    from PIL import Image

    if len(frames) < 2:
        raise ValueError(f"`frames` has {len(frames)} figures, expected at least 2.")
    if not min(seconds, hold) >= 0.02:
        raise ValueError(f"`seconds` is {seconds} and `hold` is {hold}, expected at least 0.02.")
    milliseconds = [round(1000 * each) for each in [*[seconds] * (len(frames) - 1), hold]]
    pictures = []
    for frame in frames:
        stream = io.BytesIO()
        frame.savefig(stream, format="png")
        pictures.append(Image.open(stream).convert("RGB"))
    sizes = {picture.size for picture in pictures}
    if len(sizes) > 1:
        raise ValueError(f"`frames` have the sizes {sorted(sizes)}, expected one.")
    # One palette for all frames, so that colours do not flicker.
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width, 2 * height))
    sheet.paste(pictures[0], (0, 0))
    sheet.paste(pictures[-1], (0, height))
    palette = sheet.quantize(64)
    first, *others = [
        picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures
    ]
    gif, still = io.BytesIO(), io.BytesIO()
    first.save(gif, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
    pictures[-1].quantize(256).save(still, "PNG", optimize=True)
    return Film(gif.getvalue(), still.getvalue())
