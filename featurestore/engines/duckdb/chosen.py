"""A view's rows cut to some of its keys, and which of these keys got no answer."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import duckdb
import pyarrow as pa

from featurestore.engines.duckdb.rows import ViewRows
from featurestore.engines.duckdb.scan import relation
from featurestore.engines.duckdb.text import listed, quoted
from featurestore.plan.nodes import FrameScan


def keys_in(cursor: duckdb.DuckDBPyConnection, frame: FrameScan, names: tuple[str, ...]) -> str:
    """A query of the keys `k0` ... that stand in a frame under those names."""
    keys = [f"{quoted(name)} AS k{place}" for place, name in enumerate(names)]
    return f"SELECT {listed([*keys, 'true AS one'])} FROM {relation(cursor, frame).table}"


def choose_keys(cursor: duckdb.DuckDBPyConnection, rows: ViewRows, queries: list[str]) -> ViewRows:
    """The rows of the keys in one of the queries (`k0` ...), which are kept in the temporary table `__chosen`."""
    keys = listed([*(f"k{place} AS __k{place}" for place in range(len(rows.keys))), "true AS __one"])
    cursor.execute(f"CREATE TEMP TABLE __chosen AS SELECT DISTINCT {keys} FROM ({' UNION ALL '.join(queries)})")
    same = [f"{key} IS NOT DISTINCT FROM __c.__k{place}" for place, key in enumerate(rows.keys)]
    return replace(
        rows, table=f"(SELECT * FROM {rows.table} SEMI JOIN __chosen __c ON {' AND '.join([*same, '__c.__one'])})"
    )


def keys_without(cursor: duckdb.DuckDBPyConnection, rows: ViewRows, answered: str) -> pa.Table:
    """The chosen keys, in their order, that are not in `answered`, a query of keys `k0` ..."""
    places = range(len(rows.keys))
    same = [*(f"c.__k{place} IS NOT DISTINCT FROM a.k{place}" for place in places), "c.__one"]
    keys = [*(f"c.__k{place}" for place in places), "c.__one"]
    order = listed(f"{key} NULLS FIRST" for key in keys)
    sql = f"SELECT {listed(keys)} FROM __chosen c ANTI JOIN ({answered}) a ON {' AND '.join(same)} ORDER BY {order}"
    return cursor.sql(sql).to_arrow_table()


def gone_rows(keys: pa.Table, rows: ViewRows, schema: pa.Schema) -> pa.Table:
    """Rows of a schema that hold the keys, the first columns of a table in their order, and nulls elsewhere."""
    named = dict(zip(rows.names, keys.columns, strict=False))
    columns = [
        named[field.name].cast(field.type) if field.name in named else pa.nulls(keys.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def followed(found: pa.RecordBatchReader, more: pa.Table) -> pa.RecordBatchReader:
    """The rows of `found`, then more of them."""
    return pa.RecordBatchReader.from_batches(found.schema, chain(found, more.to_batches()))
