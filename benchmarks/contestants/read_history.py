"""Read the columns that every contestant must read, and nothing more."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.contestants.history_files import connect
from benchmarks.inputs import FEATURES
from benchmarks.measure import measured


def main() -> None:
    """Arguments: workspace, threads."""
    workspace, threads = Path(sys.argv[1]), int(sys.argv[2])
    sums = ", ".join(f"sum({name})" for name in ("hash(key)", "e", *FEATURES))  # statistics cannot answer a sum
    measured(lambda: connect(workspace, threads).execute(f"SELECT {sums} FROM stored").fetchall())


if __name__ == "__main__":
    main()
