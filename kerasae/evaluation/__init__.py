"""Measures of trained models and their outputs."""
