"""The zoo: presets with weights, the recipes that made them, and what was measured of them.

    presets()                           what there is, as data
    Model.from_preset("vae_2_strokes")  one of them, ready for use
    python -m kerasae train vae_2       how it was made, and how to make one's own

`kerasae.zoo.recipes` holds the recipes, a few lines each.
"""

from kerasae.zoo.catalogue import Preset, presets

__all__ = ["Preset", "presets"]
