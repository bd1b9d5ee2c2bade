"""Feast's materialize, from our offline table's files to its online store; loading Feast does not count."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.contestants.feast_project import open_store
from benchmarks.measure import measured

_BEGIN, _END = datetime(2024, 12, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Arguments: folder of the project."""
    folder = Path(sys.argv[1])
    measured(lambda: open_store(folder).materialize(_BEGIN, _END))


if __name__ == "__main__":
    main()
