"""The steps of a windowed view in a range.

Values change only where an event enters or leaves a window, or becomes known: those v are asked of the kernel, for each
key from its first event on. Where a value gets too old before the next v, all v of the grid are asked.
"""

from __future__ import annotations

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from featurestore.engines.duckdb.errors import translated
from featurestore.engines.duckdb.ranges import FROM, ID, UNTIL, answer, lasting, number_asked
from featurestore.engines.duckdb.spine import SpineKeys
from featurestore.engines.duckdb.text import listed, quoted
from featurestore.engines.duckdb.windows import event_rows, grid_sql, keyed_values, make_events, make_points
from featurestore.plan.ranges import STOOD_SINCE, RangePlan
from featurestore.plan.windows import WindowJoin, WindowSteps
from featurestore.timeline import floor_to_grid

_VALUES = "__values"


def windowed_steps(cursor: duckdb.DuckDBPyConnection, plan: RangePlan, asked: SpineKeys | None) -> pa.RecordBatchReader:
    """The steps of a windowed view, ordered by key, then beginning."""
    join = plan.join
    assert isinstance(join, WindowJoin)
    steps = join.steps
    rows = event_rows(cursor, steps)
    with translated(rows.blame):
        number_asked(cursor, rows, plan, asked)
        make_events(cursor, steps, rows)
        changes = _grid_points(join, plan) if _ages(join) else _points(steps, plan)
        cursor.execute(f"CREATE TEMP TABLE __lives AS {lasting(_lives(join, plan, changes), plan)}")
        make_points(cursor, "SELECT id, v FROM __lives")
        found = keyed_values(cursor, steps, rows, STOOD_SINCE)
        lives = cursor.sql(
            f"SELECT id AS {ID}, t AS {FROM}, until AS {UNTIL} FROM __lives ORDER BY id, v"
        ).to_arrow_table()
        for name in lives.column_names:
            found = found.append_column(name, lives.column(name))
        return answer(plan, found, _same(cursor, found, join.names))


def _ages(join: WindowJoin) -> bool:
    """Whether a value gets too old before the next v comes."""
    steps = join.steps
    return join.ttl_us is not None and join.ttl_us < (steps.every_us or 1) + steps.delay_us - 1


def _points(steps: WindowSteps, plan: RangePlan) -> str:
    """The (id, v) in the range at which a value may differ from the one before, and each key's first."""
    first, last, every = steps.step_at(plan.start_us), steps.step_at(plan.end_us - 1), steps.every_us or 1
    shifts = {
        a.offset_us + (a.window_us or 0) * times for a in steps.aggregates for times in range((a.series or 1) + 1)
    }
    changes = [
        f"SELECT id, {grid_sql('x', every)} + {every} AS v FROM "
        f"(SELECT id, e + unnest([{listed(map(str, sorted(shifts)))}]) AS x FROM __events)",
        f"SELECT id, greatest({first}, {grid_sql('(since - 1)', every)} + {every}) AS v FROM __seen",
    ]
    if steps.visibility == "created":
        changes.append(f"SELECT id, {grid_sql(f'(c - {steps.delay_us + 1})', every)} + {every} AS v FROM __events")
    return (
        f"SELECT DISTINCT id, CAST(v AS BIGINT) AS v FROM ({' UNION ALL '.join(changes)}) JOIN __seen USING (id) "
        f"WHERE v BETWEEN {first} AND {last} AND since <= v"
    )


def _grid_points(join: WindowJoin, plan: RangePlan) -> str:
    """All (id, v) in the range from each key's first event on."""
    steps = join.steps
    grid = f"range({steps.step_at(plan.start_us)}, {steps.step_at(plan.end_us - 1)} + 1, {steps.every_us or 1})"
    return f"SELECT s.id, g.v FROM __seen s JOIN (SELECT unnest({grid}) AS v) g ON s.since <= g.v"


def _lives(join: WindowJoin, plan: RangePlan, changes: str) -> str:
    """From when (`t`) until when the values of each (id, v) answer; null: for good."""
    steps = join.steps
    ends = [f"lead(v) OVER (PARTITION BY id ORDER BY v) + {steps.delay_us}"]
    if join.ttl_us is not None and _ages(join):
        ends.append(f"v + {join.ttl_us + 1}")
    elif join.ttl_us is not None and steps.watermark_us is not None:
        stands = steps.watermark_us if steps.every_us is None else floor_to_grid(steps.watermark_us, steps.every_us)
        ends.append(str(stands + join.ttl_us + 1))
    until = ends[0] if len(ends) == 1 else f"least({listed(ends)})"
    return f"SELECT id, v, greatest(v + {steps.delay_us}, {plan.start_us}) AS t, {until} AS until FROM ({changes})"


def _same(cursor: duckdb.DuckDBPyConnection, found: pa.Table, names: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """For each row but the first whether its values are those of the row before."""
    columns = [f"c{place}" for place in range(len(names))]
    values = pa.table([pa.array(range(found.num_rows), pa.int64()), *(found.column(name) for name in names)],
                      names=["__row", *columns])  # fmt: skip
    cursor.register(_VALUES, values)
    equal = " AND ".join(f"{quoted(c)} IS NOT DISTINCT FROM lag({quoted(c)}) OVER w" for c in columns)
    sql = f"SELECT {equal} AS same FROM {_VALUES} WINDOW w AS (ORDER BY __row) ORDER BY __row"
    same: npt.NDArray[np.bool_] = cursor.sql(sql).to_arrow_table().column("same").to_numpy()
    return same[1:]
