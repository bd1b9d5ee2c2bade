"""Plans as text that a person reads."""

from __future__ import annotations

from featurestore.plan.historical import HistoricalPlan, PointInTimeJoin
from featurestore.plan.nodes import Rows, SourceRows, StoredRows
from featurestore.plan.ranges import RangePlan
from featurestore.plan.windows import WindowAggregate, WindowJoin
from featurestore.timeline import format_duration, format_instant


def explain_historical(plan: HistoricalPlan) -> str:
    """One line for the retrieval, one for each join, each on-demand step and the result."""
    lines = [f"point in time at '{plan.timestamp}': {plan.features}"]
    lines += [f"  join {_join(join)}" for join in plan.joins]
    for step in plan.on_demand:
        inputs = ", ".join(column for _, column, _ in step.inputs)
        lines.append(f"  compute {', '.join(name for _, name, _ in step.outputs)} from {inputs} ({step.view})")
    lines.append(f"  answer {', '.join(f'{name} {dtype}' for name, dtype in plan.outputs)}")
    return "\n".join(lines)


def explain_range(plan: RangePlan) -> str:
    """One line for the range, one for the view."""
    return f"steps from {format_instant(plan.start_us)} to {format_instant(plan.end_us)}\n  {_rule(plan.join)}"


def _join(join: PointInTimeJoin | WindowJoin) -> str:
    on = ", ".join(f"{key} = spine.{column}" for key, column in join.keys) or "the one global row"
    return f"{join.label} on {on}: {_rule(join)}"


def _rule(join: PointInTimeJoin | WindowJoin) -> str:
    if isinstance(join, WindowJoin):
        return f"{_windows(join)}; from {_origin(join.steps.rows)}"
    if join.timeless:
        rule = "timeless"
    else:
        rule = "latest event"
        if join.delay_us:
            rule += f" at least {format_duration(join.delay_us)} old"
        if join.visibility == "created":
            rule += " that was created by then"
        if join.ttl_us is not None:
            rule += f", at most {format_duration(join.ttl_us)} old"
    return f"{rule}; {', '.join(join.names)}; from {_origin(join.rows)}"


def _windows(join: WindowJoin) -> str:
    steps = join.steps
    rule = "every instant" if steps.every_us is None else f"steps of {format_duration(steps.every_us)}"
    if steps.delay_us:
        rule += f", seen {format_duration(steps.delay_us)} later"
    if join.ttl_us is not None:
        rule += f", at most {format_duration(join.ttl_us)} old"
    if steps.watermark_us is not None:
        rule += f", up to {format_instant(steps.watermark_us)}"
    return f"{rule}; {', '.join(f'{a.name} = {_aggregate(a)}' for a in steps.aggregates)}"


def _aggregate(aggregate: WindowAggregate) -> str:
    window = "all before" if aggregate.window_us is None else format_duration(aggregate.window_us)
    where = f" where {aggregate.mask}" if aggregate.mask else ""
    offset = f" ending {format_duration(aggregate.offset_us)} ago" if aggregate.offset_us else ""
    return f"{aggregate.function}({aggregate.value or '*'}){where} over {window}{offset}"


def _origin(rows: Rows) -> str:
    match rows:
        case SourceRows(scan=scan):
            return f"source '{scan.name}'"
        case StoredRows(files=files):
            return f"{len(files)} stored files"
