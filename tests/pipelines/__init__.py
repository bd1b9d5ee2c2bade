"""Continuous training, from the declaration to the promoted model."""
