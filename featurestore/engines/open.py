"""Opening the engine that a configuration names."""

from __future__ import annotations

from pathlib import Path

from featurestore.engines.base import OfflineEngine
from featurestore.errors import ConfigurationError


def open_engine(name: str, memory_limit: str | None, threads: int | None, temp_directory: Path) -> OfflineEngine:
    """The engine of that name; beyond `memory_limit` (None: 80% of the memory) it spills to `temp_directory`."""
    if name != "duckdb":
        raise ConfigurationError(f"offline.engine '{name}' is not supported: write duckdb (Spark is not built yet).")
    from featurestore.engines.duckdb import DuckDbEngine

    return DuckDbEngine(memory_limit=memory_limit, threads=threads, temp_directory=temp_directory)
