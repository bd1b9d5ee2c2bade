"""What the lineage of a query leaves out can be changed without a trace: tried on DuckDB, by hand and at random."""

from __future__ import annotations

from collections import Counter
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.lineage.origins import ALL, QueryLineage
from featurestore.lineage.sql import query_lineage

TABLES = {
    "t": [("k", "BIGINT"), ("a", "BIGINT"), ("b", "BIGINT"), ("n", "BIGINT"), ("l", "BIGINT[]")],
    "u": [("k", "BIGINT"), ("b", "BIGINT"), ("c", "BIGINT"), ("n", "BIGINT")],
}
_ROWS: dict[str, list[tuple[Any, ...]]] = {  # n tells rows apart, whatever else is changed
    "t": [(1, 5, 2, 10, [1]), (1, 7, 3, 11, [2, 3]), (2, 5, 2, 12, []), (3, 1, 4, 13, [4, 5, 6]), (2, 9, 1, 14, [7])],
    "u": [(1, 2, 3, 20), (2, 2, 8, 21), (2, 3, 1, 22), (4, 5, 5, 23)],
}
_CHANGES: dict[str, dict[str, list[Any]]] = {  # new values of a column, row by row
    "t": {"k": [3, 1, 1, 2, 9], "a": [1, 9, 3, 8, 2], "b": [4, 1, 3, 2, 2], "n": [14, 12, 13, 10, 11],
          "l": [[7, 8], [], [9], [1, 1], [2, 2, 2]]},
    "u": {"k": [2, 1, 4, 3], "b": [3, 1, 2, 2], "c": [9, 2, 4, 7], "n": [22, 23, 20, 21]},
}  # fmt: skip


BASE = "as_is"


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    """DuckDB with the two tables in a schema, and in one more for each column that is changed."""
    made = duckdb.connect()
    for changed in [None, *((table, column) for table in TABLES for column, _ in TABLES[table])]:
        made.execute(f"CREATE SCHEMA {_schema(changed)}")
        made.execute(f"SET schema = '{_schema(changed)}'")
        for name, columns in TABLES.items():
            rows = [list(row) for row in _ROWS[name]]
            for place, (column, _) in enumerate(columns):
                if changed == (name, column):
                    for row, value in zip(rows, _CHANGES[name][column], strict=True):
                        row[place] = value
            typed = ", ".join(f"{column} {dtype}" for column, dtype in columns)
            made.execute(f"CREATE TABLE {name} ({typed})")
            made.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", rows)
    return made


def _schema(changed: tuple[str, str] | None) -> str:
    return BASE if changed is None else "_".join(changed)


def _answer(connection: duckdb.DuckDBPyConnection, query: str) -> list[Counter[str]]:
    """The values of each column of the result, without their order."""
    found = connection.execute(query)
    width = len(found.description or ())
    rows = found.fetchall()
    return [Counter(repr(row[place]) for row in rows) for place in range(width)]


def _reads(found: QueryLineage, place: int, table: str, column: str) -> bool:
    output = found.columns[place]
    origins = output.values | output.conditions | found.rows
    return (table, column) in origins or (table, ALL) in origins


def check(connection: duckdb.DuckDBPyConnection, query: str) -> QueryLineage:
    """Change each column of each table in turn: the columns that do not come from it stay as they were."""
    connection.execute(f"SET schema = '{BASE}'")
    names = [str(column[0]) for column in connection.execute(query).description or ()]
    found = query_lineage(query, TABLES, names)
    assert [column.name for column in found.columns] == names
    before = _answer(connection, query)
    for table, columns in TABLES.items():
        for column, _ in columns:
            connection.execute(f"SET schema = '{_schema((table, column))}'")
            try:
                after = _answer(connection, query)
            except duckdb.Error:  # a PIVOT whose columns are gone, a scalar subquery of several rows
                continue
            for place, name in enumerate(names):
                if not _reads(found, place, table, column):
                    assert after[place] == before[place], f"{query}: {name} comes from {table}.{column}"
    return found


UGLY = [
    "SELECT * FROM t LEFT JOIN u USING (k)",
    "SELECT * FROM t NATURAL JOIN u",
    "SELECT * FROM t FULL JOIN u ON t.k = u.k AND u.c > 1",
    "SELECT * FROM (t JOIN u USING (k, b))",
    "SELECT t.k, t.a FROM t SEMI JOIN u USING (k)",
    "SELECT t.k, t.a FROM t ANTI JOIN u ON t.k = u.k AND u.c > 3",
    "SELECT * FROM t ASOF LEFT JOIN u ON t.k = u.k AND t.n >= u.n - 10",
    "SELECT t.a, u.c FROM t POSITIONAL JOIN u",
    "WITH c AS (SELECT k, sum(a) AS s FROM t WHERE b > 1 GROUP BY ALL) SELECT c.*, u.c FROM c JOIN u USING (k)",
    "WITH a AS (SELECT * FROM t), b AS (SELECT * FROM a WHERE k > 1) SELECT b.b, a.a FROM b JOIN a USING (k)",
    "WITH t AS (SELECT k, a FROM t WHERE b > 1) SELECT * FROM t",
    "WITH c(x, y) AS (SELECT k, a FROM t) SELECT y, x FROM c",
    "WITH RECURSIVE r(i, j, m) AS (SELECT a, b, n FROM t UNION ALL SELECT j, m, i FROM r WHERE i < 5 AND j < 9) "
    "SELECT * FROM r",
    "WITH RECURSIVE r AS (SELECT k, a AS v, 0 AS d FROM t UNION SELECT u.k, u.c, d + 1 FROM r JOIN u ON r.k = u.k "
    "WHERE d < 3) SELECT k, max(v) AS m FROM r GROUP BY k",
    "FROM t",
    "FROM (FROM t SELECT k, a) SELECT a + k AS x",
    "TABLE t",
    "(SELECT k FROM t) UNION (SELECT c FROM u)",
    "SELECT k, a FROM t UNION ALL BY NAME SELECT b AS a, k, c FROM u",
    "SELECT k, a FROM t UNION BY NAME SELECT b AS a, k FROM u WHERE c > 2",
    "SELECT k FROM t EXCEPT SELECT b FROM u",
    "SELECT k, a FROM t INTERSECT ALL SELECT b, c FROM u",
    "(SELECT k, a FROM t ORDER BY a, n LIMIT 2) UNION ALL SELECT k, c FROM u",
    "SELECT * EXCLUDE (l) REPLACE (a * 2 AS a) FROM t",
    "SELECT * RENAME (a AS z) FROM t",
    "SELECT k, COLUMNS('a|b') + 1 FROM t",
    "SELECT COLUMNS(t.* EXCLUDE (l)) FROM t JOIN u USING (k)",
    "SELECT coalesce(*COLUMNS('a|b')) AS x, n FROM t",
    "SELECT * FROM t PIVOT (sum(a) FOR k IN (1, 2) GROUP BY b)",
    "PIVOT t ON k IN (1, 2) USING sum(a) GROUP BY b",
    "SELECT * FROM (PIVOT t ON k IN (1, 2) USING sum(a) GROUP BY b) JOIN u USING (b)",
    "UNPIVOT t ON a, b INTO NAME x VALUE y",
    "SELECT x, y FROM t UNPIVOT (y FOR x IN (a, b))",
    "SELECT k, (SELECT max(c) FROM u WHERE u.k = t.k AND u.b < t.b) AS m FROM t",
    "SELECT k, (SELECT count(*) FROM u WHERE u.k = t.k) AS m FROM t",
    "SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.c > 2)",
    "SELECT k FROM t WHERE (k, b) IN (SELECT (k, b) FROM u)",
    "SELECT k FROM t WHERE a > ALL (SELECT c FROM u WHERE u.k = t.k)",
    "SELECT k, a FROM t QUALIFY row_number() OVER (PARTITION BY k ORDER BY n DESC) = 1",
    "SELECT k, row_number() OVER w AS r, lag(a) OVER w AS p FROM t WINDOW w AS (PARTITION BY k ORDER BY n)",
    "SELECT k, sum(a) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t",
    "SELECT k, sum(a) FILTER (WHERE b > 2) AS s FROM t GROUP BY 1 HAVING max(n) > 10",
    "SELECT k + 1 AS x, sum(a) AS s FROM t GROUP BY x ORDER BY s, x LIMIT 2",
    "SELECT k, sum(a) FROM t GROUP BY ROLLUP (k, b)",
    "SELECT k, sum(a) FROM t GROUP BY GROUPING SETS ((k), (b), ())",
    "SELECT DISTINCT k FROM t",
    "SELECT DISTINCT ON (k) k, a FROM t ORDER BY n DESC",
    "SELECT a FROM t ORDER BY ALL LIMIT 3",
    "SELECT a FROM t ORDER BY (SELECT max(c) FROM u WHERE u.k = t.k), n LIMIT 2",
    "SELECT k, unnest(l) AS v FROM t",
    "SELECT t.k, x.v FROM t, unnest(t.l) AS x(v)",
    "SELECT x.i FROM t, generate_series(1, t.a) AS x(i)",
    "SELECT t.k, z.m FROM t, LATERAL (SELECT max(c) AS m FROM u WHERE u.k = t.k) z",
    "SELECT x.k, y.c FROM t x LEFT JOIN LATERAL (SELECT c FROM u WHERE u.b = x.b ORDER BY n LIMIT 1) y ON true",
    "SELECT list_transform(l, lambda x: x + b) AS w, [x + a FOR x IN l IF x > k] AS y FROM t",
    "SELECT list(a ORDER BY n) FILTER (b > 2) AS z, arg_max(a, n) AS y, first(b ORDER BY n) AS x FROM t GROUP BY k",
    "SELECT p.k, p['a'] AS a FROM (SELECT {'k': k, 'a': a} AS p FROM t)",
    "SELECT p.* FROM (SELECT {'k': k, 'a': a} AS p, b FROM t)",
    "SELECT unnest(p) FROM (SELECT {'k': k, 'a': a} AS p, b FROM t)",
    "SELECT t FROM t",
    "SELECT max(u) AS m FROM u",
    "SELECT y.k FROM t AS y(a, k)",
    "SELECT * FROM t AS y(a, k)",
    "SELECT y.m FROM (SELECT k, a FROM t) AS y(n, m)",
    "SELECT k AS b, b AS k FROM t WHERE b > 1",
    "SELECT k + 1 AS k, k * 2 AS z FROM t",
    "SELECT T.K AS \"Kay\", \"A\" FROM T",
    "SELECT q.v, t.a FROM (VALUES (1, 'x'), (2, 'y')) q(k, v) JOIN t ON t.k = q.k",
    "SELECT r.i FROM range(3) r(i), t WHERE t.a > r.i",
    "SELECT count(*) AS n FROM t, u",
    "SELECT count(DISTINCT a) AS d, count(t.a) AS c FROM t",
    "SELECT CASE WHEN a > 5 THEN b ELSE k END AS x FROM t",
    "SELECT 1 AS one FROM t",
    "SELECT t1.k, t2.k, t2.a FROM t t1 JOIN t t2 ON t1.a = t2.b",
    "SELECT grouping(k) AS g, any_value(a) FROM t GROUP BY CUBE (k)",
]  # fmt: skip


@pytest.mark.parametrize("query", UGLY)
def test_changing_what_a_column_does_not_come_from_leaves_it_alone(
    connection: duckdb.DuckDBPyConnection, query: str
) -> None:
    check(connection, query)


Relation = tuple[str, list[str]]  # SQL that may stand behind FROM, and its columns


@st.composite
def selections(draw: st.DrawFn, depth: int) -> Relation:
    """A SELECT over tables and other selections; what it answers never depends on luck."""
    inner, columns = draw(relations(depth - 1))
    seen = [f"x.{column}" for column in columns]
    source = f"{inner} AS x"
    joined = draw(st.sampled_from(["", "JOIN", "LEFT JOIN", "SEMI JOIN", "ANTI JOIN"])) if depth > 1 else ""
    if joined:
        other, others = draw(relations(0))
        on = f"{draw(st.sampled_from(seen))} = y.{draw(st.sampled_from(others))}"
        source += f" {joined} {other} AS y ON {on}"
        if joined in ("JOIN", "LEFT JOIN"):
            seen += [f"y.{column}" for column in others]
    any_column = st.sampled_from(seen)
    where = f" WHERE {draw(conditions(any_column))}" if draw(st.booleans()) else ""
    kind = draw(st.sampled_from(["plain", "plain", "star", "grouped", "distinct", "limited", "qualified"]))
    if kind == "star" and not joined:
        return f"(SELECT * FROM {source}{where})", columns
    if kind == "grouped":
        keys = draw(st.lists(any_column, min_size=1, max_size=2, unique=True))
        totals = [f"{draw(st.sampled_from(['sum', 'max', 'count']))}({draw(any_column)})", "count(*)"]
        shown = [f"{text} AS c{place}" for place, text in enumerate([*keys, *totals])]
        by = draw(st.sampled_from(["ALL", ", ".join(str(place + 1) for place in range(len(keys)))]))
        return f"(SELECT {', '.join(shown)} FROM {source}{where} GROUP BY {by})", [f"c{p}" for p in range(len(shown))]
    values = draw(st.lists(expressions(any_column), min_size=1, max_size=4))
    shown = [f"{text} AS c{place}" for place, text in enumerate(values)]
    distinct = "DISTINCT " if kind == "distinct" else ""
    tail = " ORDER BY ALL LIMIT 3" if kind == "limited" else ""
    tail = (
        f" QUALIFY rank() OVER (PARTITION BY {draw(any_column)} ORDER BY {draw(any_column)}) = 1"
        * (kind == "qualified")
        + tail
    )
    return f"(SELECT {distinct}{', '.join(shown)} FROM {source}{where}{tail})", [f"c{p}" for p in range(len(shown))]


def conditions(column: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Something true or false of a row."""
    return st.one_of(
        st.builds("{} > {}".format, column, st.integers(0, 6)),
        st.builds("{} = {}".format, column, column),
        st.builds("{} IN (SELECT z.c FROM u AS z WHERE z.b < {})".format, column, column),
        st.builds("EXISTS (FROM t AS z WHERE z.k = {})".format, column),
    )


def expressions(column: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A value computed from a row, its window or a subquery."""
    return st.one_of(
        column,
        st.builds("{} + {}".format, column, column),
        st.builds("CASE WHEN {} > 2 THEN {} END".format, column, column),
        st.builds("sum({}) OVER (PARTITION BY {} ORDER BY {})".format, column, column, column),
        st.builds("(SELECT max(z.c) FROM u AS z WHERE z.k = {})".format, column),
        st.builds("coalesce({}, 7)".format, column),
    )


@st.composite
def relations(draw: st.DrawFn, depth: int) -> Relation:
    """A table, a selection, or two of them one below the other."""
    kind = draw(st.sampled_from(["table", "select", "union"])) if depth > 0 else "table"
    if kind == "table":
        name = draw(st.sampled_from(["t", "u"]))
        return name, [column for column, _ in TABLES[name] if column != "l"]
    one, columns = draw(selections(depth))
    if kind == "select":
        return one, columns
    other, others = draw(selections(1))
    width = min(len(columns), len(others))
    operation = draw(st.sampled_from(["UNION ALL", "UNION", "EXCEPT", "INTERSECT"]))
    left = f"SELECT {', '.join(columns[:width])} FROM {one} AS v"
    right = f"SELECT {', '.join(others[:width])} FROM {other} AS w"
    return f"({left} {operation} {right})", columns[:width]


@given(relation=relations(3), named=st.booleans())
def test_the_law_holds_for_queries_made_at_random(
    connection: duckdb.DuckDBPyConnection, relation: Relation, named: bool
) -> None:
    sql, columns = relation
    shown = ", ".join(columns)
    check(
        connection, f"WITH made AS (SELECT * FROM {sql} AS v) SELECT {shown} FROM made" if named else f"FROM {sql} AS v"
    )
