"""Whether a computation looks at one row at a time, tried out on generated rows.

Polars' own `is_row_separable` does not catch `c - c.mean()`, so each step is evaluated on rows together, reversed and
one by one: a request is one row, a training set is many, and the values must be the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as PyDecimal
from functools import partial

import polars as pl

from featurestore.arrow import polars_type
from featurestore.dtypes import Decimal, DType, List, Value, Vector
from featurestore.errors import InputError
from featurestore.on_demand.evaluation import RowsChangedError, compute, step_inputs
from featurestore.plan.on_demand import OnDemandStep

_ROWS = 24
_RARE = 4  # every so many rows hold large values, which the crowd does not
_CROWD = 15  # how often the other rows are repeated, so that a high quantile lies below the large values
_TEXTS = (  # a parser works on one kind of text only
    ("a", "b", "A b", "ä", "zebra", "x,y"),
    ("0", "1", "12", "-3", "40", "7"),
    ("2024-02-29", "2023-12-31", "2024-01-01", "1969-07-20"),
    ("2024-02-29T12:30:00Z", "2023-12-31T23:59:59Z", "2024-01-01T00:00:00Z"),
    ('{"a": 1}', '{"a": 2}', "{}"),
)
_ODD_TEXTS = ("", " ", "\x00", "ß" * 300, "NaN", "null")

_Values = Callable[[DType, random.Random, int], Value]  # a value for a row, by its number


def check_row_wise(step: OnDemandStep) -> None:
    """Raise InputError, naming the feature, when a step's values depend on other rows or on chance.

    Tried on ordinary rows (repeated and distinct values, nothing missing) and on odd ones (nulls, NaN, extremes). A row
    on which the step fails by itself is left out; a step that fails on all of them is refused.
    """
    checked = 0
    failure: InputError | None = None
    for frame in _frames(step):
        rows: list[pl.DataFrame] = []
        computed: list[pl.DataFrame] = []
        crowd: list[pl.DataFrame] = []
        for i in range(frame.height):
            try:
                computed.append(compute(step, frame[i]))
            except RowsChangedError:
                raise
            except InputError as error:
                failure = error
                continue
            rows.append(frame[i])
            if i % _RARE:
                crowd.append(frame[i])
        if len(rows) > 1:
            _check(step, pl.concat([*rows, *crowd * _CROWD]), pl.concat(computed))
            checked += 1
    if not checked and failure is not None:
        raise InputError(
            f"'{step.view}' fails on every generated row, so nobody can tell whether it looks at one row at a time; "
            f"let it give null instead, for example with strict=False. {failure}"
        ) from failure


def _check(step: OnDemandStep, frame: pl.DataFrame, one_by_one: pl.DataFrame) -> None:
    """Compare what the frame's first rows give among the others with what they gave `one_by_one`."""
    together = compute(step, frame)
    backwards = compute(step, frame.reverse()).reverse()
    for feature, _, _ in step.outputs:
        alone = one_by_one[feature]
        for others, how in ((together, "with others"), (backwards, "with others, in another order,")):
            if not others[feature].head(len(alone)).equals(alone, null_equal=True):
                raise InputError(
                    f"Feature '{feature}' of '{step.view}' is not row-wise: a row evaluated {how} differs from the "
                    "same row by itself. A request-time feature must not look at other rows (mean, sum, rank, shift, "
                    "over), nor at chance; compute such a value in a feature view."
                )


def _frames(step: OnDemandStep) -> Iterator[pl.DataFrame]:
    types = {dtype.name for _, _, dtype in step.inputs}
    for texts in _TEXTS if types & {"String", "List"} else _TEXTS[:1]:
        yield _frame(step, partial(_ordinary, texts))
    yield _frame(step, _odd)


def _frame(step: OnDemandStep, values: _Values) -> pl.DataFrame:
    source = random.Random(step.view)
    columns = {column: dtype for _, column, dtype in step.inputs}
    generated = [
        pl.Series(column, [values(dtype, source, i) for i in range(_ROWS)], polars_type(dtype))
        for column, dtype in columns.items()
    ]
    return step_inputs(step, pl.DataFrame(generated) if generated else pl.DataFrame({"row": range(_ROWS)}))


def _ordinary(texts: tuple[str, ...], dtype: DType, source: random.Random, row: int) -> Value:
    number = source.randint(1, 40) if row % _RARE else source.randint(80, 120)
    match dtype:
        case List():
            return [_ordinary(texts, dtype.inner, source, row) for _ in range(number % 4)]
        case Vector():
            return [_ordinary(texts, dtype.inner, source, row) for _ in range(dtype.size)]
        case Decimal():
            return PyDecimal(number % 10).scaleb(-dtype.scale)
        case DType(name="Float32" | "Float64"):
            return number / 8
        case DType(name="Bool"):
            return number % 2 == 0
        case DType(name="String"):
            return source.choice(texts)
        case DType(name="Bytes"):
            return source.choice(texts).encode()
        case DType(name="Date"):
            return date(2024, 2, 10) + timedelta(days=number)
        case DType(name="Timestamp"):
            return datetime(2024, 2, 28, 12, tzinfo=UTC) + timedelta(minutes=37 * number)
        case _:
            return number


def _odd(dtype: DType, source: random.Random, row: int) -> Value:
    if source.random() < 0.25:
        return None
    match dtype:
        case List():
            return [_odd(dtype.inner, source, row) for _ in range(source.randint(0, 2))]
        case Vector():
            return [_odd(dtype.inner, source, row) or 0.0 for _ in range(dtype.size)]  # a vector holds no null
        case Decimal():
            return source.choice((1, -1)) * (PyDecimal(10**dtype.precision - 1).scaleb(-dtype.scale))
        case DType(name="Float32" | "Float64"):
            return source.choice((0.0, -0.0, float("nan"), float("inf"), float("-inf"), 1e30, -1e-30))
        case DType(name="String"):
            return source.choice(_ODD_TEXTS)
        case DType(name="Bytes"):
            return source.choice((b"", b"\x00", b"\xff" * 300))
        case DType(name="Date"):
            return source.choice((date(1, 1, 1), date(1969, 12, 31), date(9999, 12, 31)))
        case DType(name="Timestamp"):
            return source.choice(
                (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))
            )
        case DType(name="Bool"):
            return source.random() < 0.5
        case _:
            return _odd_integer(dtype, source)


def _odd_integer(dtype: DType, source: random.Random) -> int:
    bits = int(dtype.name.rpartition("t")[2])
    lowest, highest = (0, 2**bits - 1) if dtype.name.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return source.choice((lowest, 0, 1, highest))
