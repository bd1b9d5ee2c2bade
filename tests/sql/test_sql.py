"""SQL that a user wrote: what is taken, what is refused and why."""

from __future__ import annotations

import pytest

from featurestore.errors import InputError
from featurestore.sql import check_expression, check_query, normalized, tables_of

EXPRESSIONS = (
    "temp",
    "temp * 1.8 + 32",
    '"odd name" + 1',
    "CAST(wind_gust > 30 AS BIGINT)",
    "wind_gust::DOUBLE",
    "CASE WHEN a > 1 THEN 'x' ELSE NULL END",
    "coalesce(a, b, 0)",
    "date_trunc('hour', at) - INTERVAL 1 DAY",
    "at AT TIME ZONE 'America/New_York'",
    "age(a, b)",
    "a IN (1, 2) OR b BETWEEN 1 AND 2",
    "list_transform(l, lambda x: x + 1)",
    "list_sum(l)",
    "regexp_extract(s, '(\\d+)', 1)",
    "s LIKE 'now()%'",
    "'; DROP TABLE x'",
    "now + 1",
    '"today"',
    "r.current_date",
    "a -- a comment",
    "/* now() */ a",
)

REFUSED_EXPRESSIONS = (
    ("", "nothing"),
    ("   ", "nothing"),
    ("-- only a comment", "nothing"),
    ("a,b", "cannot|can be read"),
    ("a +", "no SQL that can be read"),
    ("a; b", "2 statements"),
    ("a) + (b", "no SQL that can be read"),
    ("a AS b", "AS"),
    ("a b", "AS"),
    ("(SELECT 1)", "subquery"),
    ("SELECT 1", "subquery"),
    ("a IN (SELECT b FROM t)", "subquery"),
    ("EXISTS (SELECT 1)", "subquery"),
    ("sum(a)", "aggregate"),
    ("a - avg(a)", "aggregate"),
    ("arg_max(a, b)", "aggregate"),
    ("median(a)", "aggregate"),
    ("product(a)", "aggregate"),
    ("sum(a) OVER (ORDER BY b)", "window"),
    ("lag(a) OVER (ORDER BY b)", "window"),
    ("*", "star"),
    ("t.*", "star"),
    ("COLUMNS('a.*')", "star"),
    ("a = ?", "parameter"),
    ("a = $1", "parameter"),
    ("unnest(l)", "unnest"),
    ("generate_subscripts(l, 1)", "generate_subscripts"),
    ("now()", r"now\(\)"),
    ("NOW ( )", r"now\(\)"),
    ("current_timestamp", "current_timestamp"),
    ("CURRENT_DATE - a", "current_date"),
    ("get_current_timestamp()", "get_current_timestamp"),
    ("today()", "today"),
    ("a + random()", "random"),
    ("uuid()", "uuid"),
    ("gen_random_uuid()", "gen_random_uuid"),
    ("age(a)", "age"),
    ("getenv('HOME')", "getenv"),
    ("nextval('s')", "nextval"),
    ("DROP TABLE a", "statement"),
    ("SET threads = 1", "statement|star|can be read"),
)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_expression_over_a_row_is_taken(text: str) -> None:
    check_expression(text)


@pytest.mark.parametrize(("text", "why"), REFUSED_EXPRESSIONS)
def test_what_is_no_expression_over_a_row_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        check_expression(text)
    assert "\n" not in str(caught.value)


QUERIES = (
    "SELECT * FROM flights",
    "FROM flights",
    "FROM flights SELECT count(*)",
    "SELECT * FROM flights;",
    "SELECT * FROM Flights f LEFT JOIN planes p USING (tailnum)",
    "WITH late AS (SELECT * FROM flights WHERE delay > 15) SELECT * FROM late",
    "WITH RECURSIVE up AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM up WHERE n < 3) SELECT * FROM up",
    "WITH flights AS (SELECT * FROM flights WHERE delay > 15) SELECT * FROM flights",
    "SELECT * FROM flights ORDER BY id LIMIT 3",
    "SELECT * FROM flights ASOF JOIN planes ON flights.at >= planes.at",
    "SELECT lag(delay) OVER (PARTITION BY tailnum ORDER BY at) FROM flights",
    "SELECT * FROM flights QUALIFY row_number() OVER (PARTITION BY id ORDER BY at DESC) = 1",
    "SELECT DISTINCT ON (id) * FROM flights ORDER BY id, at",
    "SELECT (SELECT max(id) FROM planes) FROM flights",
    "SELECT * FROM flights UNION ALL SELECT * FROM planes",
    "SELECT * FROM flights, range(3) AS r(n)",
    "SELECT unnest(tags) FROM flights",
    "VALUES (1), (2)",
    "SELECT 'now()' AS said FROM flights",
)

REFUSED_QUERIES = (
    ("", "nothing"),
    ("SELECT 1; SELECT 2", "2 statements"),
    ("DELETE FROM flights", "no SELECT"),
    ("CREATE TABLE x AS SELECT * FROM flights", "no SELECT"),
    ("COPY flights TO 'x.csv'", "no SELECT"),
    ("ATTACH 'x.db'", "no SELECT"),
    ("SET threads = 1", "no SELECT"),
    ("EXPLAIN SELECT 1", "no SELECT"),
    ("SELEKT 1", "no SELECT|can be read"),
    ("SELECT * FROM flight", "'flight'.*Available: flights, planes"),
    ("SELECT (SELECT max(id) FROM wings) FROM flights", "'wings'"),
    ("SELECT * FROM other.flights", "'other.flights'"),
    ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", "'b'"),
    ("SELECT * FROM (WITH inner_rows AS (SELECT 1) SELECT * FROM inner_rows), inner_rows", "'inner_rows'"),
    ("SELECT * FROM 'data/flights.parquet'", "flights.parquet"),
    ("SELECT * FROM read_parquet('x.parquet')", "outside the inputs"),
    ("SELECT * FROM read_csv('/etc/passwd')", "outside the inputs"),
    ("SELECT * FROM glob('*')", "outside the inputs"),
    ("SELECT * FROM query('SELECT 1')", "outside the inputs"),
    ("SELECT now() FROM flights", r"now\(\)"),
    ("SELECT * FROM flights WHERE at < current_timestamp", "current_timestamp"),
    ("SELECT random() FROM flights", "random"),
    ("SELECT * FROM flights LIMIT 3", "LIMIT without ORDER BY"),
    ("SELECT * FROM flights OFFSET 3", "OFFSET without ORDER BY"),
    ("SELECT * FROM (SELECT * FROM flights LIMIT 3)", "LIMIT without ORDER BY"),
    ("SELECT * FROM flights UNION ALL SELECT * FROM planes LIMIT 3", "LIMIT without ORDER BY"),
    ("SELECT DISTINCT ON (id) * FROM flights", "DISTINCT ON without ORDER BY"),
    ("SELECT * FROM flights FETCH FIRST 3 ROWS ONLY", "without ORDER BY"),
    ("SELECT * FROM flights USING SAMPLE 10%", "sample"),
    ("SELECT * FROM flights TABLESAMPLE 5", "sample"),
    ("SELECT * FROM flights WHERE id = ?", "parameter"),
)


@pytest.mark.parametrize("text", QUERIES)
def test_a_query_over_its_inputs_is_taken(text: str) -> None:
    check_query(text, ["flights", "planes"])


@pytest.mark.parametrize(("text", "why"), REFUSED_QUERIES)
def test_a_query_that_reads_elsewhere_or_depends_on_luck_is_refused(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        check_query(text, ["flights", "planes"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("SELECT 1", ()),
        ("SELECT * FROM b JOIN a USING (k) JOIN b AS c USING (k)", ("a", "b")),
        ("WITH a AS (SELECT * FROM b) SELECT * FROM a", ("b",)),
        ("WITH a AS (SELECT * FROM a) SELECT * FROM a", ("a",)),
        ("SELECT * FROM s.t", ("s.t",)),
        ("SELECT (SELECT max(x) FROM c) FROM d WHERE EXISTS (SELECT 1 FROM e)", ("c", "d", "e")),
        ("SELECT * FROM range(3), t", ("t",)),
    ],
)
def test_the_tables_of_a_query_are_those_it_reads(text: str, tables: tuple[str, ...]) -> None:
    assert tables_of(text) == tables


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a+1", "a  + 1 -- more", True),
        ("UPPER(a)", "upper( a )", True),
        ("select A from t", "SELECT A\nFROM t", True),
        ("a + 1", "a + 2", False),
        ("a", '"A"', False),
        ("'x'", "'X'", False),
    ],
)
def test_normalized_text_differs_when_the_meaning_may(one: str, other: str, same: bool) -> None:
    assert (normalized(one) == normalized(other)) is same
