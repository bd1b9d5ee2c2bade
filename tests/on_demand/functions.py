"""Functions that the tests register by name."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl


def double(frame: pl.DataFrame) -> pl.DataFrame:
    """Twice x."""
    return frame.select(twice=pl.col("x") * 2, extra=pl.lit(1))


def centred(frame: pl.DataFrame) -> pl.DataFrame:
    """Looks at all rows."""
    return frame.select(twice=pl.col("x") - pl.col("x").mean())


def first_only(frame: pl.DataFrame) -> pl.DataFrame:
    """Loses rows."""
    return frame.head(1).select(twice=pl.col("x"))


def without_nulls(frame: pl.DataFrame) -> pl.DataFrame:
    """Loses rows without x."""
    return frame.drop_nulls("x").select(twice=pl.col("x") * 2)


def nothing(frame: pl.DataFrame) -> dict[str, list[float]]:
    """Gives no frame back."""
    return {"twice": frame["x"].to_list()}


def misnamed(frame: pl.DataFrame) -> pl.DataFrame:
    """Gives another column back."""
    return frame.select(thrice=pl.col("x"))


def texts(frame: pl.DataFrame) -> pl.DataFrame:
    """Gives texts where numbers are declared."""
    return frame.select(twice=pl.col("x").cast(pl.String))


def broken(frame: pl.DataFrame) -> pl.DataFrame:
    """Raises."""
    raise ZeroDivisionError("no rows to divide by")


class Holder:
    """Holds a function."""

    @staticmethod
    def inside(frame: pl.DataFrame) -> pl.DataFrame:
        """Twice x."""
        return frame


def make() -> Callable[[pl.DataFrame], pl.DataFrame]:
    """A function inside a function."""

    def inner(frame: pl.DataFrame) -> pl.DataFrame:
        return frame

    return inner


anonymous: Callable[[pl.DataFrame], pl.DataFrame] = lambda frame: frame  # noqa: E731  what is refused
