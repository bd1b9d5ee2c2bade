"""The rows of a view that are in force at an instant or later: what is published online.

A row becomes visible at v = event time + delay (with visibility "created" not before its created time). At the
instant asked for, or when it becomes visible later, it is in force when no row of its key that is visible then has a
greater rank: a running maximum of ranks in the order of visibility.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from featurestore.engines.duckdb.extract import canonical, canonical_types, in_order
from featurestore.engines.duckdb.reading import read
from featurestore.engines.duckdb.rows import ViewRows, view_rows
from featurestore.engines.duckdb.text import listed
from featurestore.plan.materialization import CurrentPlan
from featurestore.timeline import SEQUENCE


def current_rows(cursor: duckdb.DuckDBPyConnection, plan: CurrentPlan) -> pa.RecordBatchReader:
    """Every row that is in force at some instant at or after `at_us`; without the sequence."""
    rows = view_rows(cursor, plan.rows)
    conditions = [f"({rows.condition})"]
    if not plan.rows.timeless:
        conditions.append(f"{rows.sequence} IN ({_in_force(rows, plan)})")
    values = listed(canonical(rows, sequence=False))
    sql = f"SELECT {values} FROM {rows.table} WHERE {' AND '.join(conditions)} ORDER BY {listed(in_order(rows))}"
    types = [column for column in canonical_types(plan.rows) if column[0] != SEQUENCE]
    return read(cursor, sql, rows.blame, types)


def _in_force(rows: ViewRows, plan: CurrentPlan) -> str:
    known = f"{rows.event} + {plan.delay_us}"
    if plan.visibility == "created" and rows.created:
        known = f"greatest({known}, coalesce({rows.created}, {known}))"
    keys = [f"{key} AS k{place}" for place, key in enumerate(rows.keys)]
    partition = listed(f"k{place}" for place in range(len(keys)))
    by_key = f"PARTITION BY {partition} " if keys else ""
    by_source_key = f"PARTITION BY {listed(rows.keys)} " if keys else ""
    ranked = (
        f"SELECT {listed([*keys, f'{rows.sequence} AS s', f'{rows.event} AS e'])}, "
        f"greatest({known}, {plan.at_us}) AS v, "
        f"row_number() OVER ({by_source_key}ORDER BY {listed(rows.order)}) AS rank "
        f"FROM {rows.table} WHERE {rows.condition}"
    )
    chosen = "rank = max(rank) OVER " + f"({by_key}ORDER BY v)"
    if plan.changed_since_us is not None:
        whole = f"OVER ({by_key.strip()})"
        chosen += f" AND max(e) {whole} >= {plan.changed_since_us}"
    return f"SELECT s FROM ({ranked}) QUALIFY {chosen}"
