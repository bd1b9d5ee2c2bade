"""The steps of a view in a range.

What answers when is asked as the point-in-time join asks it: each key's instants of change with the event time that
answers from then on. Each lasts until the key's next one, or until it is too old; its rows are then fetched as those of
a spine would be. Instants that change nothing leave one row twice, which is joined up.
"""

from __future__ import annotations

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from featurestore.arrow import arrow_type
from featurestore.dtypes import Timestamp, parse
from featurestore.engines.duckdb.deletions import every_standing
from featurestore.engines.duckdb.errors import translated
from featurestore.engines.duckdb.historical import (
    answers_winner,
    equal_keys,
    number_all_keys,
    number_keys,
    picked,
    visible_steps,
)
from featurestore.engines.duckdb.reading import BATCH_ROWS, first_of_each, read
from featurestore.engines.duckdb.rows import ViewRows, view_rows
from featurestore.engines.duckdb.spine import SpineKeys
from featurestore.engines.duckdb.text import listed, quoted
from featurestore.plan.historical import PointInTimeJoin
from featurestore.plan.ranges import STOOD_SINCE, VALID_FROM, VALID_TO, RangePlan

ID, FROM, UNTIL, _ROW = "__id", "__from", "__until", "__sequence"
_SPINE = "__spine"
Numbers = npt.NDArray[np.int64]


def plain_steps(cursor: duckdb.DuckDBPyConnection, plan: RangePlan, asked: SpineKeys | None) -> pa.RecordBatchReader:
    """The steps of a plain view, ordered by key, then beginning."""
    join = plan.join
    assert isinstance(join, PointInTimeJoin)
    rows = view_rows(cursor, join.rows, {column.column for column in join.columns})
    with translated(rows.blame):
        number_asked(cursor, rows, plan, asked)
        _make_winners(cursor, rows, plan)
    keys = [f"w.k{place} AS {quoted(name)}" for place, name in enumerate(rows.names)]
    stood = f"make_timestamptz(w.e) AS {quoted(STOOD_SINCE)}"
    told = [*keys, stood, f"v.s AS {_ROW}", f"w.id AS {ID}", f"w.t AS {FROM}", f"w.until AS {UNTIL}"]
    matching = equal_keys(len(join.keys), "v", "w") if join.timeless else answers_winner(rows, join)
    types = [
        *((column.name, column.dtype) for column in join.columns),
        *((key.name, key.dtype) for key in join.rows.keys),
        (STOOD_SINCE, Timestamp),
        *((name, parse("Int64")) for name in (_ROW, ID, FROM, UNTIL)),
    ]
    found = first_of_each(read(cursor, picked(rows, join, "__winner", matching, told), rows.blame, types)).read_all()
    found = found.filter(found.column(_ROW).is_valid())
    row = numbers(found, _ROW)
    return answer(plan, found, row[1:] == row[:-1])


def number_asked(cursor: duckdb.DuckDBPyConnection, rows: ViewRows, plan: RangePlan, asked: SpineKeys | None) -> None:
    """Make `__ids` of the keys that are asked for, or of all, numbered in their order."""
    if asked is None:
        number_all_keys(cursor, rows)
        return
    cursor.register(_SPINE, asked.table)
    number_keys(cursor, plan.join.keys, plan.join.rows.keys, asked)
    number = f"row_number() OVER (ORDER BY {listed([*(f'k{place}' for place in range(len(rows.keys))), 'one'])})"
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE __ids AS SELECT * REPLACE ({number} AS id) FROM __ids")


def _make_winners(cursor: duckdb.DuckDBPyConnection, rows: ViewRows, plan: RangePlan) -> None:
    """Make `__winner`: for each step that is not empty its key, event time `e`, and from `t` until when it lasts."""
    join = plan.join
    assert isinstance(join, PointInTimeJoin)
    if join.timeless:
        steps = f"SELECT id, {plan.start_us} AS t, CAST(NULL AS BIGINT) AS e, CAST(NULL AS BIGINT) AS until FROM __ids"
    else:
        following = "lead(v) OVER (PARTITION BY id ORDER BY v)"
        until = following if join.ttl_us is None else f"least({following}, e + {join.ttl_us + 1})"
        visible = visible_steps(cursor, rows, join, plan.end_us - 1)
        changes = f"SELECT DISTINCT id, v, e FROM ({every_standing(visible) if rows.deleted else visible})"
        steps = lasting(f"SELECT id, greatest(v, {plan.start_us}) AS t, e, {until} AS until FROM ({changes})", plan)
        steps = f"SELECT * FROM ({steps}) WHERE e IS NOT NULL"
    cursor.execute(
        "CREATE TEMP TABLE __winner AS SELECT row_number() OVER (ORDER BY id, t) AS __row, i.*, s.t, s.e, s.until "
        f"FROM ({steps}) s JOIN __ids i USING (id)"
    )


def lasting(steps: str, plan: RangePlan) -> str:
    """The steps, from `t` until `until` (null: for good), that lie in the range; null when they last to its end."""
    kept = f"SELECT * FROM ({steps}) WHERE t < {plan.end_us} AND (until > t) IS NOT FALSE"
    return f"SELECT * REPLACE (CAST(CASE WHEN until < {plan.end_us} THEN until END AS BIGINT) AS until) FROM ({kept})"


def answer(plan: RangePlan, found: pa.Table, same: npt.NDArray[np.bool_]) -> pa.RecordBatchReader:
    """The plan's columns; a step is joined to the one before where it is the `same`, follows it and has its key."""
    ids, begins, ends = numbers(found, ID), numbers(found, FROM), numbers(found, UNTIL)
    new = np.ones(found.num_rows, dtype=bool)
    new[1:] = ~(same & (ids[1:] == ids[:-1]) & (ends[:-1] == begins[1:]))
    last = np.append(new[1:], True)[: found.num_rows]
    first, until = found.filter(pa.array(new)), found.column(UNTIL).filter(pa.array(last))
    instant = arrow_type(Timestamp)
    keys = [key.name for key in plan.join.rows.keys]
    columns = {name: first.column(name) for name in (*keys, STOOD_SINCE, *plan.join.names)}
    columns[VALID_FROM] = first.column(FROM).cast(instant)
    columns[VALID_TO] = until.cast(instant)
    return pa.table(columns).to_reader(max_chunksize=BATCH_ROWS)


def numbers(table: pa.Table, column: str) -> Numbers:
    """A column of int64, null as the least."""
    found: Numbers = table.column(column).fill_null(-(2**63)).to_numpy()
    return found
