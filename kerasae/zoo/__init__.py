"""The zoo: presets with weights, the recipes that made them, and their measures.

    presets()                           the list of all presets, as data
    Model.from_preset("vae_2_strokes")  one of them, ready for use
    python -m kerasae train vae_2       make it again, or one's own

`kerasae.zoo.recipes` holds the recipes, a few lines each.
"""

from kerasae.zoo.catalogue import Preset, presets

__all__ = ["Preset", "presets"]
