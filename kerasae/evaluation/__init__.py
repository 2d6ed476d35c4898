"""What the models learned, measured."""
