"""What a caller may hand in as a spine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from featurestore.arrow import as_table
from featurestore.engines.base import FileSpine, FrameSpine, QuerySpine, Spine
from featurestore.errors import InputError
from featurestore.plan.nodes import Scan


def as_spine(spine: object, tables: Callable[[], tuple[Scan, ...]]) -> Spine:
    """The spine: a frame, Arrow data or list of dicts, a path ending in .parquet, or SQL text over `tables`."""
    if isinstance(spine, str) and spine.lstrip("( \n").lower().startswith(("select", "with", "from")):
        return QuerySpine(spine, tables())
    if isinstance(spine, str | os.PathLike):
        path = Path(spine)
        if path.suffix not in (".parquet", ".pq"):
            raise InputError(
                f"Spine '{spine}' is neither a Parquet file nor a SELECT; give a path that ends in .parquet."
            )
        if not path.is_file():
            raise InputError(f"Spine {path} does not exist; give the path of a Parquet file.")
        return FileSpine(path)
    return FrameSpine(as_table(spine, "The spine"))
