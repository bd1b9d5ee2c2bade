"""Broken copies of the data, which each declared check must refuse before it is asked about the data itself.

A copy is broken in what the check is about, and judged by the code that judges the data. `reference` is the earlier
data, or where there is none, the data itself: the copy must differ from what it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import polars as pl

from featurestore.contracts.model import as_contract, contract_schema, prove_refusal, require_validation
from featurestore.timeline import duration_us
from pipelines.definition.data_gate import Contract, DataCheck, Drift, Freshness, NullRate, Volume
from pipelines.gates.baseline import Baseline, BaselineColumn, TrainingData, extent, per_day
from pipelines.gates.data_checks import judge_freshness, judge_nulls, judge_rate, judge_schema, judge_volume
from pipelines.gates.drift import measure_drift
from pipelines.gates.verdict import CheckResult
from pipelines.ledger.records import Verdict

Proof = tuple[str, bool]  # how a copy was broken, and whether the check refused it

_ENOUGH = 20_000  # rows of a copy with other values, unless a check wants more
_UNSEEN = "\x00 a text that no data has"


def prove(check: DataCheck, data: TrainingData, reference: Baseline) -> Iterator[Proof]:
    """How the check fares with each broken copy; raises GateRefused when a contract lets one pass."""
    match check:
        case Contract(model=model):
            require_validation()
            prove_refusal(contract_schema(as_contract(model)), data.frame)
            yield "nulls, wrong types and a missing column", True
        case Volume():
            yield from _prove_volume(check, data, reference)
        case Freshness():
            yield from _prove_freshness(check, data)
        case NullRate():
            yield from _prove_nulls(check, data, reference)
        case Drift():
            yield from _prove_drift(check, data, reference)


def prove_schema(data: TrainingData, reference: Baseline) -> Iterator[Proof]:
    """A copy without a column, and one with another type."""
    name = data.judged[0]
    other = pl.String if data.frame.schema[name] == pl.Boolean else pl.Boolean
    for how, frame in (
        (f"column '{name}' gone", data.frame.drop(name)),
        (f"column '{name}' of another type", data.frame.with_columns(pl.lit(None, other).alias(name))),
    ):
        yield how, _refused(judge_schema(replace(data, frame=frame), reference))


def _prove_volume(check: Volume, data: TrainingData, reference: Baseline) -> Iterator[Proof]:
    few = replace(data, frame=data.frame.head(check.min_rows - 1))
    yield "too few rows", _refused(judge_volume(check, few, None))
    if check.max_change is None or not reference.rows or not data.frame.height:
        return
    frame = data.frame.select(data.timestamp).sort(data.timestamp)
    rate = per_day(frame.height, *extent(frame, data.timestamp))
    if check.max_change < 1:
        every = 2 * math.ceil(rate / (reference.rows_per_day * (1 - check.max_change)))
        thinned = frame.gather_every(every) if frame.height >= 4 * every else frame.clear()
        yield "rows gone", _refused(judge_rate(check.max_change, replace(data, frame=thinned), reference))
    else:  # fewer rows are never that much of a change, but more are
        less = reference.rows * rate / reference.rows_per_day / (check.max_change + 2)
        fewer = msgspec.structs.replace(reference, rows=math.floor(less))
        yield "many times the rows", not fewer.rows or _refused(judge_rate(check.max_change, data, fewer))


def _prove_freshness(check: Freshness, data: TrainingData) -> Iterator[Proof]:
    stale = data.as_of_us - duration_us(check.max_age) - 1
    labels = pl.lit(stale).cast(pl.Datetime("us", "UTC")).cast(data.frame.schema[data.known_at]).alias(data.known_at)
    yield "old labels", _refused(judge_freshness(check, replace(data, frame=data.frame.with_columns(labels))))
    for view in data.watermarks:
        old = replace(data, watermarks={**data.watermarks, view: stale})
        yield f"view '{view}' left behind", _refused(judge_freshness(check, old))


def _prove_nulls(check: NullRate, data: TrainingData, reference: Baseline) -> Iterator[Proof]:
    """Columns that could not have more nulls are left out, unless no column could."""
    columns = [name for name in check.columns or data.inputs if name in reference.columns]
    frame = data.frame if data.frame.height else data.frame.clear(1)
    nulls = frame.with_columns(pl.lit(None, frame.schema[name]).alias(name) for name in columns)
    result = judge_nulls(check, replace(data, frame=nulls), reference)
    grown = set(result.details.get("grown", ()))  # type: ignore[call-overload]  # a list of names
    room = {n for n in columns if reference.columns[n].counts.missing / max(reference.rows, 1) + check.max_increase < 1}
    if columns:
        yield "nulls in every column", _refused(result) and bool(room) and room <= grown


def _prove_drift(check: Drift, data: TrainingData, reference: Baseline) -> Iterator[Proof]:
    frame = data.frame.head(max(_ENOUGH, check.min_rows))
    names = [name for name in check.columns or data.judged if name in reference.columns]
    moved = frame.with_columns(_moved(frame.schema[name], reference.columns[name]).alias(name) for name in names)
    found = measure_drift(check, replace(data, frame=moved), reference)
    for drift in found:
        if drift.state == "stable":
            yield f"other values in column '{drift.column}'", False
    if found:
        yield "other values in every column", all(drift.state != "stable" for drift in found)


def _moved(dtype: pl.DataType, was: BaselineColumn) -> pl.Expr:
    """The value that was rarest: one beyond all others, an unseen text, the rarer truth value, or null."""
    counts = was.counts
    if dtype == pl.Boolean:
        value, count = pl.lit(counts.bins[0] > counts.bins[1]), min(counts.bins[:2])
    elif was.bins.categories or dtype in (pl.String, pl.Categorical) or isinstance(dtype, pl.Enum):
        value, count = pl.lit(_UNSEEN), counts.bins[-1]
    else:
        edge = was.bins.edges[-1] if was.bins.edges else 0.0
        above = counts.bins[-1] <= counts.bins[0]
        value = pl.lit(edge + abs(edge) + 1 if above else was.bins.edges[0] - abs(was.bins.edges[0]) - 1)
        count = counts.bins[-1] if above else counts.bins[0]
    return value if count <= counts.nulls else pl.lit(None, dtype)


def _refused(result: CheckResult) -> bool:
    return result.verdict is not Verdict.PASS
