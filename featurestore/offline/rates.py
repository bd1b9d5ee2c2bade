"""How fast earlier commits went, from what they noted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

ROWS, SECONDS = "rows", "seconds"  # the notes of a commit that are read here
_NEWEST = 50
_LEAST_ROWS = 10_000  # below, what a commit takes in any case hides what its rows take


@dataclass(frozen=True, slots=True)
class Rate:
    """Rows per second over some commits."""

    rows: int
    seconds: float
    commits: int

    @property
    def per_second(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds


def commit_rate(directory: Path, tables: Iterable[str]) -> Rate | None:
    """The rate of the newest large commits of the tables; None when none is large enough to tell."""
    rows, seconds, commits = 0, 0.0, 0
    for table in dict.fromkeys(tables):
        for noted, took in _noted(directory / table):
            if noted >= _LEAST_ROWS and took > 0:
                rows, seconds, commits = rows + noted, seconds + took, commits + 1
    return Rate(rows, seconds, commits) if commits else None


def _noted(table: Path) -> Iterable[tuple[int, float]]:
    """Rows and seconds of the newest commits of a table: what was noted for reading, and what writing took."""
    if not (table / "_delta_log").exists():
        return
    try:
        history = DeltaTable(table).history(limit=_NEWEST)
    except (DeltaError, OSError):  # a table that cannot be read tells nothing
        return
    for entry in history:
        written_ms = entry.get("operationMetrics", {}).get("execution_time_ms", 0)
        if SECONDS in entry:
            yield int(entry[ROWS]), float(entry[SECONDS]) + float(written_ms) / 1000
