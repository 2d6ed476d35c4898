"""Models: one short file per family of the slides."""
