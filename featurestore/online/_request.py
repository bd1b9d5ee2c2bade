"""Request data as typed columns; nothing is guessed: no text becomes a number, no naive time an instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import polars as pl

from featurestore.arrow import polars_type
from featurestore.dtypes import INTEGER_TYPES, DType
from featurestore.errors import InputError
from featurestore.timeline import instant_us


def request_column(name: str, dtype: DType, rows: Sequence[Mapping[str, object]]) -> pl.Series:
    """The named values of the rows as a polars column of the logical type; raises InputError for other values."""
    try:
        values = [row[name] for row in rows]
    except KeyError as error:
        raise InputError(f"The request lacks column '{name}' ({dtype}); where it is unknown, give None.") from error
    for value in values:
        if value is not None:
            _check(name, dtype, value)
    try:
        return pl.Series(name, values, polars_type(dtype))
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0].rstrip(".")  # polars adds where in its own code it was
        raise InputError(f"The request's column '{name}' must be {dtype}: {reason}.") from error


def _check(name: str, dtype: DType, value: object) -> None:
    """Refuse what polars would take for the type, though it is another one."""
    match dtype.name:
        case "Timestamp" if isinstance(value, datetime):
            instant_us(value, f"The request's column '{name}':")
            fits = True
        case "Timestamp":
            fits = False
        case "Date":
            fits = isinstance(value, date) and not isinstance(value, datetime)
        case kind if kind in INTEGER_TYPES:
            fits = not isinstance(value, bool)
        case _:
            fits = True
    if not fits:
        raise InputError(f"The request's column '{name}' must be {dtype}, found {type(value).__name__} {value!r}.")
