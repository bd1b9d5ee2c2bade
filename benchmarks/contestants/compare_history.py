"""How many rows of an answer differ from another one, and whether both are in the same order."""

from __future__ import annotations

import sys

import polars as pl

from benchmarks.inputs import FEATURES
from benchmarks.measure import report


def main() -> None:
    """Arguments: the Parquet file that is right, the one to compare; both have the spine's number in `row`."""
    right, other = (pl.read_parquet(path, columns=["row", *FEATURES]) for path in sys.argv[1:3])
    ordered = right["row"].equals(other["row"])
    both = right.join(other.unique("row"), on="row", how="left", suffix="_other", maintain_order="left")
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_other")) for name in FEATURES)
    wrong = both.filter(differs).height
    report(rows=other.height, wrong=wrong, ordered=int(ordered))


if __name__ == "__main__":
    main()
