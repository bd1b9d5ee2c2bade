"""The engine that computes plans with DuckDB: in memory, spilling to disk under a memory limit."""

from __future__ import annotations

from featurestore.engines.duckdb.engine import DuckDbEngine

__all__ = ["DuckDbEngine"]
