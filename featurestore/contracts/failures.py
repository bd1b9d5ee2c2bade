"""Failed checks and the rows they point at, before anybody decided what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.contracts.verdict import Reason, reason_name

Mask = NDArray[np.bool_]

_FOUND_LENGTH = 80


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """A check that failed on a frame.

    `rows` is True where a row fails, one per row of the frame; None when the check points at no row, and then
    `found` says what was seen instead. `row_wise`: whether a row fails does not depend on the other rows.
    """

    check: str
    column: str | None
    rows: Mask | None = None
    found: str | None = None
    row_wise: bool = False
    waivable: bool = True

    @property
    def name(self) -> str:
        """The column and the check."""
        return reason_name(self.column, self.check)


def merge(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    """One failure per name, in the order they came: the rows of equal names are united, the stricter word wins."""
    merged: dict[str, Failure] = {}
    for failure in failures:
        standing = merged.get(failure.name, failure)
        masks = [mask for mask in (standing.rows, failure.rows) if mask is not None]
        merged[failure.name] = replace(
            standing,
            rows=np.logical_or.reduce(masks) if masks else None,
            found=standing.found if standing.found is not None else failure.found,
            row_wise=standing.row_wise and failure.row_wise,
            waivable=standing.waivable and failure.waivable,
        )
    return tuple(merged.values())


def failing_rows(failures: Iterable[Failure], height: int) -> Mask:
    """True where a row is pointed at by one of the failures."""
    rows = np.zeros(height, bool)
    for failure in failures:
        if failure.rows is not None:
            rows |= failure.rows
    return rows


def to_reasons(failures: Sequence[Failure], frame: pl.DataFrame) -> tuple[Reason, ...]:
    """The failures with counts, and as example what the first failing row holds."""
    return tuple(_to_reason(failure, frame) for failure in failures)


def _to_reason(failure: Failure, frame: pl.DataFrame) -> Reason:
    rows, example = failure.rows, failure.found
    if rows is not None and failure.column in frame.columns:
        example = found_text(frame[failure.column][int(rows.argmax()) : int(rows.argmax()) + 1]).item()
    return Reason(
        check=failure.check,
        column=failure.column,
        count=0 if rows is None else int(rows.sum()),
        example=example,
        row_wise=failure.row_wise,
        waivable=failure.waivable,
    )


def row_reasons(failures: Sequence[Failure], frame: pl.DataFrame, refused: Mask) -> pl.Series:
    """For each refused row, in order, the list of its reasons: `temp: greater_than_or_equal_to(0) (found -40.0)`."""
    rows = frame.filter(pl.Series(refused))
    texts: list[pl.Series] = []
    for failure in failures:
        if failure.rows is None:
            continue
        text = pl.repeat(failure.name, rows.height, dtype=pl.String, eager=True)
        if failure.column in rows.columns:
            text = text + " (found " + found_text(rows[failure.column]) + ")"
        fails = pl.Series(failure.rows[refused])
        texts.append(pl.select(pl.when(fails).then(text)).to_series().rename(str(len(texts))))
    if not texts:
        return pl.Series([[]] * rows.height, dtype=pl.List(pl.String))
    return pl.DataFrame(texts).select(pl.concat_list(pl.all()).list.drop_nulls()).to_series()


def found_text(values: pl.Series) -> pl.Series:
    """The values as short text: `null`, `NaN`, bytes in hexadecimal, at most 80 characters each."""
    match values.dtype:
        case pl.Binary():
            text = "0x" + values.bin.encode("hex")
        case pl.List() | pl.Array() | pl.Struct() | pl.Object():
            text = pl.Series([None if v is None else str(v) for v in values.to_list()], dtype=pl.String)
        case _:
            text = values.cast(pl.String)
    return text.fill_null("null").str.slice(0, _FOUND_LENGTH)
