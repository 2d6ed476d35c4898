"""Models: one family of the slides a file, and the base classes that they share."""
