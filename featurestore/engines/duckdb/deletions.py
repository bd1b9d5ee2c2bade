"""Which event time of a key answers when markers cancel rows.

Of the visible rows of one key and event time the greatest (created time, sequence) counts, and a greater one is never
visible earlier. So at each v at which one becomes visible a row stands, or a marker does; a row then stands until the
v of the next marker of that key and event time, or for good: at once where there is no marker, which is nearly
everywhere.

Of what stands for good the greatest event time is a running maximum in the order of v. What stands for a while only, as
little as there is of it, is asked at its own beginnings and ends: spans are paired with the instants they hold by two
inequalities of (id, v), which DuckDB sorts for, where an equality of ids would try all pairs of a key.
"""

from __future__ import annotations

import duckdb

from featurestore.engines.duckdb.rows import ViewRows
from featurestore.engines.duckdb.text import listed

GREATEST_FIRST = "c DESC NULLS LAST, s DESC"  # the order that decides between rows of one key and event time


def ranks(rows: ViewRows) -> list[str]:
    """SQL of what `standing` needs beside key and event time: `c`, `s`, `d`."""
    return [f"{rows.created or 'CAST(NULL AS BIGINT)'} AS c", f"{rows.sequence} AS s", f"{rows.deleted} AS d"]


def standing(cursor: duckdb.DuckDBPyConnection, rows: str) -> str:
    """A query of (id, v, e): the greatest event time that stands for good from v until the next v of the id.

    What stands for a while is in the temporary table `__instants`, in the same form: e is null where nothing does. The
    greater one of both answers. `rows` is a query of `id` (of the key), `e`, `c`, `s` (event time, created time,
    sequence), `d` (whether it is a marker) and `v` (from when on it is visible); they are kept in the temporary table
    `__rows`.
    """
    cursor.execute(f"CREATE TEMP TABLE __rows AS {rows}")
    touched = "(SELECT DISTINCT id, e FROM __rows WHERE d) USING (id, e)"
    shown = f"row_number() OVER (PARTITION BY id, e, v ORDER BY {GREATEST_FIRST}) = 1"
    later = "OVER (PARTITION BY id, e ORDER BY v ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)"
    cursor.execute(
        f"CREATE TEMP TABLE __spans AS SELECT id, e, v, CAST(NULL AS BIGINT) AS until FROM __rows ANTI JOIN {touched} "
        f"UNION ALL SELECT id, e, v, until FROM (SELECT *, min(v) FILTER (WHERE d) {later} AS until "
        f"FROM (SELECT * FROM __rows SEMI JOIN {touched} QUALIFY {shown})) WHERE NOT d"
    )
    passing = "(SELECT * FROM __spans WHERE until IS NOT NULL)"
    cursor.execute(
        f"CREATE TEMP TABLE __instants AS SELECT b.id, b.v, max(p.e) AS e "
        f"FROM (SELECT id, v FROM {passing} UNION SELECT id, until FROM {passing}) b LEFT JOIN {passing} p "
        "ON (p.id, p.v) <= (b.id, b.v) AND (b.id, b.v) < (p.id, p.until) GROUP BY b.id, b.v"
    )
    return "SELECT id, v, max(e) OVER (PARTITION BY id ORDER BY v) AS e FROM __spans WHERE until IS NULL"


def every_standing(for_good: str) -> str:
    """A query of (id, v, e): from v until the next v of the id the event time that answers, for good or for a while.

    `for_good` is what `standing` gave; e is null where nothing stands.
    """
    later = "ON b.id = o.id AND b.v >= o.v"
    return (
        f"WITH lasting AS MATERIALIZED ({for_good}) "
        f"SELECT b.id, b.v, greatest(b.e, o.e) AS e FROM lasting b ASOF LEFT JOIN __instants o {later} UNION ALL "
        f"SELECT b.id, b.v, greatest(b.e, o.e) AS e FROM __instants b ASOF LEFT JOIN lasting o {later}"
    )


def published(cursor: duckdb.DuckDBPyConnection, rows: str) -> str:
    """A query of the sequences of the rows that answer at some v, and of the markers that cancel one of them.

    `rows` as for `standing`.
    """
    steps = every_standing(standing(cursor, rows))
    greatest = listed(f"r.{rank}" for rank in GREATEST_FIRST.split(", "))
    cursor.execute(
        f"CREATE TEMP TABLE __answers AS SELECT r.* FROM ({steps}) b JOIN __rows r "
        "ON r.id = b.id AND r.e = b.e AND r.v <= b.v "
        f"QUALIFY row_number() OVER (PARTITION BY b.id, b.v ORDER BY {greatest}) = 1"
    )
    greater = "(m.c > a.c OR (a.c IS NULL AND m.c IS NOT NULL) OR (m.c IS NOT DISTINCT FROM a.c AND m.s > a.s))"
    return (
        "SELECT s FROM __answers UNION ALL "
        f"SELECT m.s FROM __rows m SEMI JOIN __answers a ON m.id = a.id AND m.e = a.e AND {greater} WHERE m.d"
    )
