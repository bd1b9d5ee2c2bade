"""Declarations of training pipelines: frozen data, no I/O, nothing heavy imported."""
