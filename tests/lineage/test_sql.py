"""Where each column of a query comes from, worked out by hand."""

from __future__ import annotations

import pytest

from featurestore.errors import InputError
from featurestore.lineage.origins import Origins
from featurestore.lineage.sql import expression_lineage, query_lineage

TABLES = {
    "t": [("k", "BIGINT"), ("a", "DOUBLE"), ("b", "DOUBLE"), ("s", 'STRUCT("x" INTEGER, "y" VARCHAR)'), ("l", "INT[]")],
    "u": [("k", "BIGINT"), ("c", "DOUBLE"), ("b", "DOUBLE")],
    "Mixed": [("Key", "BIGINT"), ("Val Ue", "DOUBLE")],
    "hidden": [],
}


def told(origins: Origins) -> str:
    """Origins in a line: `t` are the rows of t, `t.*` all of its columns."""
    return " ".join(sorted(table if column is None else f"{table}.{column}" for table, column in origins))


def lineage(sql: str, names: str | None = None) -> dict[str, str]:
    """Each column with its origins, those of conditions behind a bar; the rows under an empty name."""
    found = query_lineage(sql, TABLES, None if names is None else names.split())
    columns = {c.name: " | ".join(part for part in (told(c.values), told(c.conditions)) if part) for c in found.columns}
    return {**columns, "": told(found.rows)}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT k, a + b AS ab FROM t", {"k": "t.k", "ab": "t.a t.b", "": "t"}),
        ("FROM u", {"k": "u.k", "c": "u.c", "b": "u.b", "": "u"}),
        ("FROM u SELECT c", {"c": "u.c", "": "u"}),
        ("SELECT c FROM u WHERE b > 1", {"c": "u.c", "": "u u.b"}),
        ("SELECT 1 AS one, count(*) AS n FROM u", {"one": "", "n": "", "": "u"}),
        ("SELECT u.* FROM t LEFT JOIN u USING (k)", {"k": "u.k", "c": "u.c", "b": "u.b", "": "t t.k u u.k"}),
        ("SELECT k, c FROM t FULL JOIN u USING (k)", {"k": "t.k u.k", "c": "u.c", "": "t t.k u u.k"}),
        ("SELECT a FROM t NATURAL JOIN u", {"a": "t.a", "": "t t.b t.k u u.b u.k"}),
        ("SELECT a FROM t SEMI JOIN u USING (k)", {"a": "t.a", "": "t t.k u u.k"}),
        ("SELECT a FROM t ASOF JOIN u ON t.k = u.k AND t.b >= u.b", {"a": "t.a", "": "t t.b t.k u u.b u.k"}),
        ("SELECT * EXCLUDE (s, l, b) REPLACE (a * k AS a) FROM t", {"k": "t.k", "a": "t.a t.k", "": "t"}),
        ("SELECT * EXCLUDE (s, l, b) RENAME (a AS z) FROM t", {"k": "t.k", "z": "t.a", "": "t"}),
        (
            "WITH c AS (SELECT k, sum(a) AS s FROM t WHERE b > 0 GROUP BY ALL) "
            "SELECT c.s, u.c FROM c JOIN u ON c.k = u.k",
            {"s": "t.a", "c": "u.c", "": "t t.b t.k u u.k"},
        ),
        ("WITH t AS (SELECT a AS k FROM t) SELECT k FROM t", {"k": "t.a", "": "t"}),
        ("WITH c(x, y) AS (SELECT k, a FROM t) SELECT y FROM c", {"y": "t.a", "": "t"}),
        ("SELECT y.b FROM (SELECT a AS b FROM t) AS y", {"b": "t.a", "": "t"}),
        ("SELECT y.k FROM t AS y(a, k)", {"k": "t.a", "": "t"}),
        (
            "SELECT k, a FROM t UNION ALL BY NAME SELECT b AS a, k, c FROM u",
            {"k": "t.k u.k", "a": "t.a u.b", "c": "u.c", "": "t u"},
        ),
        ("SELECT k FROM t UNION ALL SELECT c FROM u WHERE b > 1", {"k": "t.k u.c", "": "t u u.b"}),
        ("SELECT k FROM t UNION SELECT c FROM u", {"k": "t.k u.c", "": "t t.k u u.c"}),
        ("SELECT k FROM t EXCEPT SELECT c FROM u", {"k": "t.k u.c", "": "t t.k u u.c"}),
        ("(SELECT k FROM t)", {"k": "t.k", "": "t"}),
        (
            "SELECT sum(a) OVER (PARTITION BY k ORDER BY b) AS s, lag(a) OVER w AS p FROM t WINDOW w AS (ORDER BY k)",
            {"s": "t.a t.b t.k", "p": "t.a t.k", "": "t"},
        ),
        ("SELECT a FROM t QUALIFY row_number() OVER (PARTITION BY k ORDER BY b) = 1", {"a": "t.a", "": "t t.b t.k"}),
        ("SELECT max(a) FILTER (WHERE b > 2) AS m FROM t", {"m": "t.a t.b", "": "t"}),
        ("SELECT max(a) AS m FROM t GROUP BY k HAVING min(b) > 2", {"m": "t.a", "": "t t.b t.k"}),
        ("SELECT k + 1 AS x, max(a) AS m FROM t GROUP BY x", {"x": "t.k", "m": "t.a", "": "t t.k"}),
        ("SELECT a FROM t ORDER BY b", {"a": "t.a", "": "t"}),
        ("SELECT a FROM t ORDER BY b LIMIT 2", {"a": "t.a", "": "t t.b"}),
        ("SELECT a FROM t ORDER BY ALL LIMIT 2", {"a": "t.a", "": "t t.a"}),
        ("SELECT DISTINCT ON (k) a FROM t ORDER BY b", {"a": "t.a", "": "t t.b t.k"}),
        ("SELECT DISTINCT a FROM t", {"a": "t.a", "": "t t.a"}),
        (
            "SELECT k, (SELECT max(c) FROM u WHERE u.b = t.b) AS m FROM t",
            {"k": "t.k", "m": "u.c | t.b u u.b", "": "t"},
        ),
        ("SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k)", {"a": "t.a", "": "t t.k u u.k"}),
        (
            "SELECT t.a, z.m FROM t, LATERAL (SELECT max(c) AS m FROM u WHERE u.k = t.k) z",
            {"a": "t.a", "m": "u.c", "": "t t.k u u.k"},
        ),
        ("SELECT s.x AS x, s['y'] AS y, t.s.x AS z FROM t", {"x": "t.s", "y": "t.s", "z": "t.s", "": "t"}),
        ("SELECT {'p': a, 'q': b} AS st FROM t", {"st": "t.a t.b", "": "t"}),
        ("SELECT list_transform(l, lambda x: x + b) AS w FROM t", {"w": "t.b t.l", "": "t"}),
        ("SELECT x.i FROM generate_series(1, 3) AS x(i), u", {"i": "", "": "u"}),
        ("SELECT main.u.c FROM main.u", {"c": "u.c", "": "u"}),
        ('SELECT KEY, mixed."VAL UE" AS v FROM MIXED', {"key": "Mixed.Key", "v": "Mixed.Val Ue", "": "Mixed"}),
        ("SELECT k AS b, b AS k FROM u WHERE b > 1", {"b": "u.k", "k": "u.b", "": "u u.b"}),
        ("SELECT anything FROM hidden", {"anything": "hidden.anything", "": "hidden"}),
    ],
)  # fmt: skip
def test_each_column_comes_from(sql: str, expected: dict[str, str]) -> None:
    assert lineage(sql) == expected


def test_a_recursive_query_follows_its_columns_round_and_round() -> None:
    recursive = "SELECT k, a, b FROM t UNION ALL SELECT y, z, x FROM r WHERE x < 9"
    assert lineage(f"WITH RECURSIVE r(x, y, z) AS ({recursive}) SELECT x FROM r") == {
        "x": "t.a t.b t.k",
        "": "t t.a t.b t.k",
    }


def test_a_recursive_query_keeps_apart_what_never_meets() -> None:
    sql = (
        "WITH RECURSIVE r AS (SELECT k, a FROM t UNION ALL SELECT r.k, u.c FROM r JOIN u USING (k)) SELECT k, a FROM r"
    )
    assert lineage(sql) == {"k": "t.k", "a": "t.a u.c", "": "t t.k u u.k"}


@pytest.mark.parametrize(
    ("sql", "names", "expected"),
    [  # the names are what the engine finds
        ("SELECT k, COLUMNS('a|b'), s FROM t", "k a b s", {"k": "t.k", "a": "t.*", "b": "t.*", "s": "t.s", "": "t"}),
        ("SELECT s.*, k FROM t", "x y k", {"x": "t.s", "y": "t.s", "k": "t.k", "": "t"}),
        ("SELECT k, unnest(l) AS v FROM t", "k v", {"k": "t.k", "v": "t.l", "": "t t.l"}),
        ("SELECT t.k, x.v FROM t, unnest(t.l) AS x(v)", "k v", {"k": "t.k", "v": "t.l", "": "t t.l"}),
        ("SELECT unnest(s), k FROM t", "x y k", {"x": "t.s", "y": "t.s", "k": "t.k", "": "t t.s"}),
        (
            "SELECT k, unnest(s), b, COLUMNS('c'), a FROM t",
            "k x y b q a",
            {"k": "t.k", "x": "t.*", "y": "t.*", "b": "t.*", "q": "t.*", "a": "t.a", "": "t t.s"},
        ),
        ("WITH c AS (SELECT k, COLUMNS('a|b') FROM t) FROM c", "k a b", {"k": "t.k", "a": "t.*", "b": "t.*", "": "t"}),
        ("PIVOT u ON k USING sum(c)", "b x", {"b": "u.*", "x": "u.*", "": "u u.*"}),
        ("SELECT * FROM (PIVOT u ON k USING sum(c))", "b x", {"b": "u.*", "x": "u.*", "": "u u.*"}),
        ("SELECT * FROM u PIVOT (sum(c) FOR k IN (1, 2))", "b x y", {"b": "u.*", "x": "u.*", "y": "u.*", "": "u u.*"}),
        ("SELECT u FROM u", "u", {"u": "u.*", "": "u"}),
        ("SELECT avg(c), count(*) FROM u", "avg(c) count_star()", {"avg(c)": "u.c", "count_star()": "", "": "u"}),
        ("SELECT * FROM t JOIN hidden ON true", "p q", {"p": "hidden.* t.*", "q": "hidden.* t.*", "": "hidden t"}),
    ],
)
def test_what_cannot_be_told_apart_is_all_columns(sql: str, names: str, expected: dict[str, str]) -> None:
    assert lineage(sql, names) == expected


def test_what_only_the_engine_can_name_is_left_out_without_it() -> None:
    assert lineage("SELECT k, COLUMNS('a|b') FROM t") == {"k": "t.k", "": "t"}


def test_expressions_are_told_apart() -> None:
    columns = [("temp", "DOUBLE"), ("gust", "DOUBLE"), ("p", "STRUCT(x INTEGER)"), ("Wind Dir", "BIGINT")]
    texts = ["temp * 2", "coalesce(gust, TEMP) -- or", '"wind dir"', "p.x", "1", "case when gust > 1 then p.x end"]
    assert [" ".join(sorted(found)) for found in expression_lineage(texts, columns)] == [
        "temp", "gust temp", "Wind Dir", "p", "", "gust p",
    ]  # fmt: skip


def test_expressions_over_unknown_columns_name_them_all_the_same() -> None:
    assert [" ".join(sorted(found)) for found in expression_lineage(["a + B", "f(c)"], ())] == ["a b", "c"]


def test_what_is_no_query_is_refused() -> None:
    with pytest.raises(InputError, match="it is no SQL that can be read"):
        query_lineage("SELECT FROM WHERE", TABLES)
