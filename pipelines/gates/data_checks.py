"""The checks of the data gate: training data and the accepted data before it in, a result out.

Against a baseline the rows that are new since are judged beside all rows: in a long history a broken week would hide.
"""

from __future__ import annotations

import polars as pl

from featurestore.contracts.failures import failing_rows, row_reasons, to_reasons
from featurestore.contracts.inspection import inspect_contract
from featurestore.contracts.model import as_contract, contract_failures, contract_schema, require_validation
from featurestore.contracts.verdict import REASONS
from featurestore.timeline import duration_us, format_instant, rough_duration
from pipelines.definition.data_gate import Contract, Freshness, NullRate, Volume
from pipelines.gates.baseline import DAY_US, Baseline, TrainingData, extent, per_day
from pipelines.gates.verdict import CheckResult
from pipelines.ledger.records import Verdict

FEWEST_NEW = 100  # of fewer new rows no share tells anything
_SHOWN = 5


def judge_schema(data: TrainingData, baseline: Baseline | None) -> CheckResult:
    """Every column is there, with the type that it had; instants are instants."""
    schema, faults = data.frame.schema, []
    wanted = dict.fromkeys((*data.judged, data.timestamp, data.known_at))
    faults += [f"There is no column '{name}'." for name in wanted if name not in schema]
    for name in dict.fromkeys((data.timestamp, data.known_at)):
        if name in schema and not isinstance(schema[name], pl.Datetime):
            faults.append(f"Column '{name}' must hold instants, and is {schema[name]}.")
    before = {} if baseline is None else baseline.columns
    for name in data.judged:
        if name in schema and name in before and str(schema[name]) != before[name].dtype:
            faults.append(
                f"Column '{name}' was {before[name].dtype} and is {schema[name]}; a new meaning needs a new name."
            )
    details = {
        "columns": {name: str(schema[name]) for name in data.judged if name in schema},
        "new": [name for name in data.judged if baseline is not None and name not in before],
        "gone": [name for name in before if name not in data.judged],
    }
    if faults:
        return CheckResult("Schema", Verdict.FAIL, " ".join(faults), details)
    return CheckResult("Schema", Verdict.PASS, f"All {len(data.judged)} columns are there with their types.", details)


def judge_contract(check: Contract, data: TrainingData) -> CheckResult:
    """No row of the training frame breaks the contract, and the frame as a whole does not.

    Raises GateRefused when pandera would not look, InputError when the model cannot be a contract.
    """
    require_validation()
    model, frame = as_contract(check.model), data.frame
    inspect_contract(model)
    failures = contract_failures(contract_schema(model), frame)
    reasons = to_reasons(failures, frame)
    details: dict[str, object] = {
        "contract": model.__qualname__,
        "rows": frame.height,
        "reasons": [{"check": r.check, "column": r.column, "rows": r.count, "example": r.example} for r in reasons],
    }
    if not failures:
        return CheckResult(
            "Contract", Verdict.PASS, f"All {frame.height:,} rows satisfy {model.__qualname__}.", details
        )
    rows = failing_rows(failures, frame.height)
    marked = row_reasons(failures, frame, rows).alias(REASONS)
    more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    return CheckResult(
        "Contract",
        Verdict.FAIL,
        f"{int(rows.sum()):,} of {frame.height:,} rows break {model.__qualname__}: "
        f"{'; '.join(map(str, reasons[:_SHOWN]))}{more}.",
        details,
        failing=frame.filter(pl.Series(rows)).with_columns(marked),
    )


def judge_volume(check: Volume, data: TrainingData, baseline: Baseline | None) -> CheckResult:
    """Enough rows, and about as many per day as before: of all rows, and of a day or more of new ones."""
    rows = data.frame.height
    if rows < check.min_rows:
        reason = f"There are {rows:,} rows, and at least {check.min_rows:,} are needed."
        return CheckResult("Volume", Verdict.FAIL, reason, {"rows": rows})
    if check.max_change is None:
        return CheckResult("Volume", Verdict.PASS, f"There are {rows:,} rows.", {"rows": rows})
    if baseline is None or not baseline.rows:
        reason = f"There are {rows:,} rows, and no earlier data to compare with."
        return CheckResult("Volume", Verdict.PASS, reason, {"rows": rows})
    return judge_rate(check.max_change, data, baseline)


def judge_rate(max_change: float, data: TrainingData, baseline: Baseline) -> CheckResult:
    """About as many rows per day as in the baseline, which has some."""
    before, last, fresh = baseline.rows_per_day, baseline.last_us, new_rows(data, baseline)
    rates = {"all": per_day(data.frame.height, *extent(data.frame, data.timestamp))}
    newest = extent(fresh, data.timestamp)[1]
    if last is not None and newest is not None and newest - last >= DAY_US:
        rates["new"] = per_day(fresh.height, last, newest)
    changes = {what: rate / before - 1 for what, rate in rates.items()}
    what, change = max(changes.items(), key=lambda item: abs(item[1]))
    details: dict[str, object] = {"rows": data.frame.height, "new_rows": fresh.height, "before": before}
    reason = (
        f"{rates[what]:.1f} rows per day among {what} rows, {before:.1f} in the data before: "
        f"a change of {change:+.1%}, where {max_change:.1%} is allowed."
    )
    verdict = Verdict.FAIL if abs(change) > max_change else Verdict.PASS
    return CheckResult("Volume", verdict, reason, details | {"rows_per_day": rates, "change": changes})


def new_rows(data: TrainingData, baseline: Baseline) -> pl.DataFrame:
    """The examples after the last one of the baseline."""
    if baseline.last_us is None:
        return data.frame
    return data.frame.filter(pl.col(data.timestamp).dt.epoch("us") > baseline.last_us)


def judge_freshness(check: Freshness, data: TrainingData) -> CheckResult:
    """The newest label and the watermark of each view are young enough at the run's instant."""
    times: dict[str, int | None] = {"newest label": extent(data.frame, data.known_at)[1]}
    times |= {f"view '{view}'": watermark for view, watermark in data.watermarks.items()}
    allowed = duration_us(check.max_age)
    stale = [
        f"{what}: nothing is there" if us is None else f"{what} is {rough_duration(data.as_of_us - us)} old"
        for what, us in times.items()
        if us is None or data.as_of_us - us > allowed
    ]
    details: dict[str, object] = {what: None if us is None else format_instant(us) for what, us in times.items()}
    if stale:
        reason = f"{'; '.join(stale)}; at most {rough_duration(allowed)} may be."
        return CheckResult("Freshness", Verdict.FAIL, _sentence(reason), details)
    oldest = max(data.as_of_us - us for us in times.values() if us is not None)
    reason = f"Labels and views are at most {rough_duration(max(oldest, 0))} old."
    return CheckResult("Freshness", Verdict.PASS, reason, details)


def judge_nulls(check: NullRate, data: TrainingData, baseline: Baseline | None) -> CheckResult:
    """No column's share of nulls and NaN grew too much: of all rows, and of 100 new ones or more."""
    columns = tuple(data.inputs if check.columns is None else check.columns)
    if missing := unknown(columns, data):
        return CheckResult("NullRate", Verdict.ERROR, missing)
    shares = {name: _missing_share(data.frame, name) for name in columns}
    if baseline is None:
        reason = "There is no earlier data to compare with."
        return CheckResult("NullRate", Verdict.PASS, reason, {"shares": shares})
    fresh = new_rows(data, baseline)
    recent = {name: _missing_share(fresh, name) for name in columns} if fresh.height >= FEWEST_NEW else {}
    known = [name for name in columns if name in baseline.columns and baseline.rows]
    before = {name: baseline.columns[name].counts.missing / baseline.rows for name in known}
    growth = {name: max(shares[name], recent.get(name, 0.0)) - share for name, share in before.items()}
    grown = sorted((name for name in growth if growth[name] > check.max_increase), key=lambda name: -growth[name])
    details = {"shares": shares, "new_rows": recent, "before": before, "grown": grown}
    if grown:
        listed = "; ".join(f"'{name}' from {before[name]:.1%} by {growth[name]:.1%}" for name in grown[:_SHOWN])
        more = f"; and {len(grown) - _SHOWN} more" if len(grown) > _SHOWN else ""
        reason = f"The share of nulls grew by more than {check.max_increase:.1%}: {listed}{more}."
        return CheckResult("NullRate", Verdict.FAIL, reason, details)
    most = max(growth.values(), default=0.0)
    return CheckResult("NullRate", Verdict.PASS, f"No share of nulls grew by more than {max(most, 0.0):.1%}.", details)


def _missing_share(frame: pl.DataFrame, name: str) -> float:
    values = frame[name]
    nans = int(values.is_nan().sum()) if values.dtype.is_float() else 0
    return (values.null_count() + nans) / frame.height if frame.height else 0.0


def unknown(columns: tuple[str, ...], data: TrainingData) -> str | None:
    """What to say of columns that a check names and the data does not judge."""
    missing = [name for name in columns if name not in data.judged]
    if not missing:
        return None
    return f"The check names '{missing[0]}', which is neither an input nor the label: {', '.join(data.judged)}."


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
