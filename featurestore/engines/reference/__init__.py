"""The engine that says what is right: nested loops in plain Python, slow, sharing no code with the fast path.

DuckDB, in memory and thrown away at once, is used only to evaluate SQL that a user wrote; that is not what it judges.
"""

from featurestore.engines.reference.engine import ReferenceEngine

__all__ = ["ReferenceEngine"]
