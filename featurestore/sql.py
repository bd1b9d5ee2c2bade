"""SQL that a user wrote: parsed once, checked before any engine sees it.

What may stand in a declaration must give the same answer whenever it is asked: no clock, no chance, no settings, no
LIMIT that picks rows by luck. `check_expression` and `check_query` raise InputError in one sentence.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from featurestore.errors import InputError, UnknownNameError

_DIALECT = "duckdb"
_VOLATILE = frozenset({
    "current_connection_id", "current_database", "current_date", "current_localtime", "current_localtimestamp",
    "current_query", "current_query_id", "current_role", "current_schema", "current_schemas", "current_setting",
    "current_time", "current_timestamp", "current_transaction_id", "current_user", "currval", "gen_random_uuid",
    "get_current_time", "get_current_timestamp", "getenv", "getvariable", "in_search_path", "localtime",
    "localtimestamp", "nextval", "now", "random", "session_user", "set_config", "setseed", "setval", "sleep_ms",
    "today", "transaction_timestamp", "txid_current", "user", "uuid", "uuidv4", "uuidv7", "version", "write_log",
})  # fmt: skip
_BARE = frozenset({"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"})
_PURE_TABLE_FUNCTIONS = (exp.GenerateSeries, exp.Unnest, exp.Values)
_AGGREGATES = frozenset({
    "any_value", "approx_count_distinct", "approx_quantile", "approx_top_k", "arbitrary", "arg_max", "arg_max_null",
    "arg_max_nulls_last", "arg_min", "arg_min_null", "arg_min_nulls_last", "argmax", "argmin", "array_agg", "avg",
    "bit_and", "bit_or", "bit_xor", "bitstring_agg", "bool_and", "bool_or", "corr", "count", "count_if", "count_star",
    "countif", "covar_pop", "covar_samp", "entropy", "favg", "first", "fsum", "group_concat", "histogram",
    "histogram_exact", "kahan_sum", "kurtosis", "kurtosis_pop", "last", "list", "listagg", "lttb", "mad", "max",
    "max_by", "mean", "median", "min", "min_by", "mode", "product", "quantile", "quantile_cont", "quantile_disc",
    "regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy",
    "regr_syy", "reservoir_quantile", "sem", "skewness", "stddev", "stddev_pop", "stddev_samp", "string_agg", "sum",
    "sum_no_overflow", "sumkahan", "var_pop", "var_samp", "variance",
})  # fmt: skip
_MULTIPLYING = frozenset({"unnest", "generate_subscripts"})


def check_expression(text: str) -> None:
    """Raise InputError unless the text is one scalar expression over the columns of a row.

    Refused: several expressions, names given with AS, `*`, parameters, subqueries, aggregate and window functions,
    functions that make several rows of one, and functions that depend on when or where they run.
    """
    where = f"Expression '{' '.join(text.split())}'"
    tree = _parsed(text, where, "write one SQL expression, such as temp * 1.8 + 32")
    if isinstance(tree, exp.Alias):
        raise InputError(f"{where}: a name is given with AS; leave it out, the feature has its own name.")
    for kinds, found, remedy in _REFUSED_IN_EXPRESSIONS:
        if isinstance(tree, kinds) or tree.find(*kinds):
            raise InputError(f"{where}: it has {found}; {remedy}.")
    if not isinstance(tree, exp.Condition | exp.AtTimeZone | exp.Interval):
        raise InputError(f"{where}: it is a statement; write one SQL expression, such as temp * 1.8 + 32.")
    _refuse_functions(text, where, _AGGREGATES, "is an aggregate function; declare an Aggregation")
    _refuse_functions(text, where, _MULTIPLYING, "makes several rows of one; compute it in a SqlSource")
    _refuse_volatile(text, tree, where)


def check_query(text: str, allow_tables: Collection[str]) -> None:
    """Raise InputError unless the text is one SELECT that gives the same rows whenever it is run.

    It may read the tables in `allow_tables` only. Refused: other statements, functions that depend on when or where
    they run, functions that read files, samples, parameters, LIMIT, OFFSET and DISTINCT ON without ORDER BY.
    """
    where = "Query"
    tree = _parsed(text, where, "write one SELECT")
    if not isinstance(tree, exp.Query | exp.Values):
        raise InputError(f"{where}: it is no SELECT; a query reads, so write one SELECT or WITH ... SELECT.")
    if tree.find(exp.TableSample):
        raise InputError(f"{where}: a sample gives other rows each time; filter by a hash of a column instead.")
    if tree.find(exp.Placeholder, exp.Parameter):
        raise InputError(f"{where}: it has a parameter; write the value.")
    _refuse_volatile(text, tree, where)
    for query in tree.find_all(exp.Query):
        _refuse_luck(query, where)
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier | exp.GenerateSeries):
            raise InputError(f"{where}: '{table.sql(_DIALECT)}' reads outside the inputs; declare it as a source.")
    known = {name.casefold() for name in allow_tables}
    for name in tables_of(text):
        if name.casefold() not in known:
            raise InputError(str(UnknownNameError("table", name, allow_tables, "the inputs of the query")))


def tables_of(text: str) -> tuple[str, ...]:
    """The tables that a query reads, without those it defines by WITH; in alphabetical order."""
    tree = _parsed(text, "Query", "write one SELECT")
    return tuple(sorted({_table_name(table) for table in tree.find_all(exp.Table) if not _defined_above(table)}))


def normalized(text: str) -> str:
    """The same SQL in one spelling, without comments: what a fingerprint is taken of."""
    tree = _parsed(text, f"SQL '{text}'", "write one SELECT or one expression")
    return tree.sql(_DIALECT, comments=False, normalize_functions="upper")


def query_tree(text: str) -> exp.Expr:
    """The one statement of a text as sqlglot reads it, anew at each call; raises InputError when it is none or more."""
    return _parsed(text, "Query", "write one SELECT")


def without_end(text: str) -> str:
    """A statement without the semicolons and comments behind it."""
    tokens = [t for t in sqlglot.tokenize(text, read=_DIALECT) if t.token_type is not TokenType.SEMICOLON]
    return text[: tokens[-1].end + 1] if tokens else ""


def _parsed(text: str, where: str, remedy: str) -> exp.Expr:
    logger = logging.getLogger("sqlglot")
    before = logger.level
    logger.setLevel(logging.ERROR)  # it warns about statements that are refused here in a sentence
    try:
        trees = [tree for tree in sqlglot.parse(text, read=_DIALECT) if not isinstance(tree, exp.Semicolon | None)]
    except SqlglotError as error:
        raise InputError(f"{where}: it is no SQL that can be read ({_reason(error)}); {remedy}.") from error
    finally:
        logger.setLevel(before)
    if len(trees) != 1:
        found = "nothing" if not trees else f"{len(trees)} statements"
        raise InputError(f"{where}: found {found}; {remedy}.")
    return trees[0]


def _reason(error: SqlglotError) -> str:
    found = getattr(error, "errors", None)
    if found:
        description = re.sub(r" for <class '[^']+'>", "", str(found[0]["description"]))
        return f"{description.rstrip('. ')} at line {found[0]['line']}, column {found[0]['col']}"
    return (str(error).splitlines() or ["not understood"])[0].rstrip(". ")


_REFUSED_IN_EXPRESSIONS: tuple[tuple[tuple[type[exp.Expr], ...], str, str], ...] = (
    ((exp.Query, exp.Exists), "a subquery", "join in a SqlSource"),
    ((exp.Window,), "a window function", "compute it in a SqlSource"),
    ((exp.Star, exp.Columns), "a star", "name the columns"),
    ((exp.Placeholder, exp.Parameter), "a parameter", "write the value"),
    ((exp.Alias,), "a name given with AS", "leave it out"),
)


def _refuse_volatile(text: str, tree: exp.Expr, where: str) -> None:
    _refuse_functions(text, where, _VOLATILE, "depends on when or where it runs; take the value from a column")
    for call in tree.find_all(exp.Anonymous):
        if call.name.casefold() == "age" and len(call.expressions) == 1:
            raise InputError(f"{where}: age() of one instant depends on today; give it two.")


def _refuse_functions(text: str, where: str, names: frozenset[str], reason: str) -> None:
    for name in _called(sqlglot.tokenize(text, read=_DIALECT)):
        if name in names:
            raise InputError(f"{where}: {name}() {reason}.")


def _called(tokens: list[Token]) -> Iterator[str]:
    """Names of the functions that are called, in small letters, also those that need no parentheses."""
    for place, token in enumerate(tokens):
        name = token.text.casefold()
        opens = place + 1 < len(tokens) and tokens[place + 1].token_type is TokenType.L_PAREN
        member = place > 0 and tokens[place - 1].token_type is TokenType.DOT
        quoted = token.token_type in (TokenType.IDENTIFIER, TokenType.STRING)
        if token.token_type is not TokenType.STRING and (opens or (name in _BARE and not quoted and not member)):
            yield name


def _refuse_luck(query: exp.Query, where: str) -> None:
    ordered = query.args.get("order") is not None
    for part, found in (("limit", "LIMIT"), ("offset", "OFFSET")):
        if query.args.get(part) is not None and not ordered:
            raise InputError(f"{where}: {found} without ORDER BY picks rows by luck; add ORDER BY, or leave it out.")
    distinct = query.args.get("distinct")
    if isinstance(distinct, exp.Distinct) and distinct.args.get("on") is not None and not ordered:
        raise InputError(f"{where}: DISTINCT ON without ORDER BY picks rows by luck; add ORDER BY.")


def _table_name(table: exp.Table) -> str:
    return (
        ".".join(part.name for part in table.parts) if isinstance(table.this, exp.Identifier) else table.sql(_DIALECT)
    )


def _defined_above(table: exp.Table) -> bool:
    """Whether WITH defines the table, in a query around it, or a function makes it."""
    if isinstance(table.this, exp.GenerateSeries):
        return True
    if table.args.get("db") is not None:
        return False
    inside: exp.Expr | None = table
    while inside is not None:
        around = inside.find_ancestor(exp.Query)
        if around is not None and any(_defines(cte, table) for cte in around.ctes):
            return True
        inside = around
    return False


def _defines(cte: exp.CTE, table: exp.Table) -> bool:
    """Whether the table reads this part of a WITH: from behind it, or from any part when the WITH is recursive."""
    clause = cte.find_ancestor(exp.With)
    if clause is None or cte.alias.casefold() != table.name.casefold():
        return False
    around = {id(node) for node in _ancestors(table)}
    place = next((n for n, part in enumerate(clause.expressions) if id(part) in around), len(clause.expressions))
    return bool(clause.args.get("recursive")) or clause.expressions.index(cte) < place


def _ancestors(node: exp.Expr) -> Iterator[exp.Expr]:
    while node.parent is not None:
        node = node.parent
        yield node
