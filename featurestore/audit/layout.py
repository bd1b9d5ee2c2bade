"""Where the log's files lie, for those who only look whether there are new ones."""

from __future__ import annotations

from pathlib import Path

VECTORS, DEFINITIONS, LABELS = "vectors", "definitions", "labels"


def changed_ns(folder: Path, what: str, service: str) -> int | None:
    """When a file of VECTORS or LABELS of a service, or of a model, was added or removed last; None: there is none."""
    try:
        return (folder / what / service).stat().st_mtime_ns
    except FileNotFoundError:
        return None
