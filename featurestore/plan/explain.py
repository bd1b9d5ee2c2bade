"""Plans as text that a person reads."""

from __future__ import annotations

from featurestore.plan.historical import HistoricalPlan, PointInTimeJoin
from featurestore.plan.nodes import SourceRows
from featurestore.timeline import format_duration


def explain_historical(plan: HistoricalPlan) -> str:
    """One line for the retrieval, one for each join, each on-demand step and the result."""
    lines = [f"point in time at '{plan.timestamp}': {plan.features}"]
    lines += [f"  join {_join(join)}" for join in plan.joins]
    for step in plan.on_demand:
        inputs = ", ".join(column for _, column, _ in step.inputs)
        lines.append(f"  compute {', '.join(name for _, name, _ in step.outputs)} from {inputs} ({step.view})")
    lines.append(f"  answer {', '.join(f'{name} {dtype}' for name, dtype in plan.outputs)}")
    return "\n".join(lines)


def _join(join: PointInTimeJoin) -> str:
    on = ", ".join(f"{key} = spine.{column}" for key, column in join.keys) or "the one global row"
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
    match join.rows:
        case SourceRows(scan=scan):
            origin = f"source '{scan.name}'"
        case stored:
            origin = f"{len(stored.files)} stored files"
    columns = ", ".join(column.name for column in join.columns)
    return f"{join.label} on {on}: {rule}; {columns}; from {origin}"
