"""Which columns of its tables each column of a query comes from, found by reading the SQL.

sqlglot qualifies the query (stars, USING, aliases and positions are written out) and finds its scopes; what is asked
here is only where each qualified column leads. Where that cannot be told (PIVOT, COLUMNS('...'), a struct spread into
columns, SQL that sqlglot does not know) the answer is `ALL`, all columns of a table, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope, find_all_in_scope, walk_in_scope

from featurestore.errors import FeatureStoreError
from featurestore.lineage.origins import (
    ALL,
    NONE,
    Origin,
    Origins,
    OutputColumn,
    QueryLineage,
    anything,
    by_name,
    by_place,
    looked_up,
    named,
    picked,
    plain,
    simplest,
)
from featurestore.sql import query_tree, tables_of

TableColumns = Mapping[str, Sequence[tuple[str, str]]]  # names and DuckDB's types; a table without any is not known
_DIALECT = "duckdb"
_UNKNOWN = (
    SqlglotError,
    LookupError,
    AttributeError,
    TypeError,
    ValueError,
    RecursionError,
)  # SQL beyond the optimizer


def query_lineage(sql: str, tables: TableColumns, names: Sequence[str] | None = None) -> QueryLineage:
    """The lineage of a query over the tables; `names` are its columns as the engine finds them.

    Without `names` columns that only the engine can name are left out. Tables and their columns are given back as they
    are spelled in `tables`, the query's columns as in `names`.
    """
    try:
        walk = _Walk(tables)
        found = walk.whole(query_tree(sql))
    except FeatureStoreError:
        raise
    except _UNKNOWN:
        found = _unread(sql, tables)
    if names is None:
        columns = tuple(column for column in found.columns if not column.many)
    else:
        columns = named(found.columns, names, anything(found))
    return QueryLineage(tuple(plain(column) for column in columns), simplest(found.rows))


def expression_lineage(expressions: Sequence[str], columns: Sequence[tuple[str, str]]) -> tuple[frozenset[str], ...]:
    """For each SQL expression over a row the columns that it reads; ALL among them where that cannot be told."""
    selected = ", ".join(f"({text}\n) AS __{place}" for place, text in enumerate(expressions))
    names = tuple(f"__{place}" for place in range(len(expressions)))
    found = query_lineage(f"SELECT {selected} FROM __row", {"__row": columns}, names)
    return tuple(frozenset(str(column) for _, column in output.values) for output in found.columns)


def _unread(sql: str, tables: TableColumns) -> QueryLineage:
    named = {name.lower(): name for name in tables}
    read = [named[name.lower()] for name in tables_of(sql) if name.lower() in named]
    everything = frozenset((name, ALL) for name in read)
    return QueryLineage((OutputColumn(ALL, everything, many=True),), frozenset((name, None) for name in read))


class _Walk:
    """One walk over the scopes of one query."""

    def __init__(self, tables: TableColumns) -> None:
        self._tables = {name.lower(): name for name in tables}
        self._columns = {
            name.lower(): {column.lower(): column for column, _ in columns} for name, columns in tables.items()
        }
        self._schema: dict[str, object] = {
            name: {column: dtype if dtype.startswith("STRUCT") else "VARCHAR" for column, dtype in columns}
            for name, columns in tables.items()
            if columns
        }
        self._found: dict[int, QueryLineage] = {}

    def whole(self, tree: exp.Expr) -> QueryLineage:
        """The lineage of a whole query."""
        qualified = qualify(
            tree,
            dialect=_DIALECT,
            schema=self._schema,
            validate_qualify_columns=False,
            quote_identifiers=False,
            identify=False,
        )
        scope = build_scope(qualified)
        if scope is None:  # a PIVOT statement
            return self._everything(qualified)
        return self._scope(scope)

    def _scope(self, scope: Scope) -> QueryLineage:
        known = self._found.get(id(scope))
        if known is None:
            known = self._found[id(scope)] = self._walked(scope)
        return known

    def _walked(self, scope: Scope) -> QueryLineage:
        expression = scope.expression
        match expression:
            case exp.Subquery() | exp.Lateral() if inner := (*scope.subquery_scopes, *scope.derived_table_scopes):
                return self._cut(self._scope(inner[0]), expression)
            case exp.SetOperation():
                again = _recursive_name(scope)
                return self._recursive(scope, expression, again) if again else self._combined(scope, expression)
            case exp.Select():
                return self._select(scope, expression)
            case _:  # UNNEST, VALUES and other functions that make rows
                values, conditions = self._read(expression, scope)
                return QueryLineage((OutputColumn(ALL, values, conditions, many=True),), NONE)

    # selections

    def _select(self, scope: Scope, select: exp.Select) -> QueryLineage:
        sources = [(node, scope.sources[name]) for name, node in scope.references if name in scope.sources]
        rows = NONE.union(*(self._rows_of(source, scope) for _, source in sources))
        if scope.pivots or _hides_pivot(select):
            found = self._everything(scope.expression)
            return QueryLineage(tuple(replace(found.columns[0], name=n) for n in select.named_selects), found.rows)
        outputs = tuple(self._output(projection, scope, select) for projection in select.selects)
        parts = [*_row_parts(select), *(node for node, _ in sources if isinstance(node, exp.UDTF))]
        conditions = NONE.union(*(part for node in parts for part in self._read(node, scope, select)))
        return QueryLineage(outputs, rows | conditions | self._chosen(select, outputs))

    def _output(self, projection: exp.Expr, scope: Scope, select: exp.Select) -> OutputColumn:
        values, conditions = self._read(projection, scope, select)
        inner = projection.unalias()
        many = any(_spreads(node) for node in walk_in_scope(projection))
        if isinstance(inner, exp.Column) and not many:
            source = _source(scope, inner.table)
            if isinstance(source, Scope):
                many = looked_up(self._scope(source), inner.name).many
        return OutputColumn(projection.alias_or_name, values, conditions, many)

    def _chosen(self, select: exp.Select, outputs: Sequence[OutputColumn]) -> Origins:
        """What the rows depend on by way of the columns: DISTINCT, GROUP BY ALL, ORDER BY with LIMIT, UNNEST."""
        group, order = select.args.get("group"), select.args.get("order")
        chosen: set[Origin] = set()
        for projection, output in zip(select.selects, outputs, strict=True):
            grouped = group is not None and group.args.get("all") and not _aggregates(projection)
            ordered = _limited(select) and order is not None and _orders_by(order, output.name)
            distinct = select.args.get("distinct") is not None and select.args["distinct"].args.get("on") is None
            multiplied = any(isinstance(node, exp.Unnest | exp.Explode) for node in walk_in_scope(projection))
            if grouped or ordered or distinct or multiplied:
                chosen |= output.values | output.conditions
        return frozenset(chosen)

    # set operations

    def _combined(self, scope: Scope, operation: exp.SetOperation) -> QueryLineage:
        branches = [self._scope(branch) for branch in scope.set_operation_scopes]
        columns = by_name(branches) if operation.args.get("by_name") else by_place(branches)
        found = QueryLineage(columns, NONE.union(*(branch.rows for branch in branches)))
        picks = not isinstance(operation, exp.Union) or operation.args.get("distinct")
        return picked(found) if picks else self._cut(found, operation)

    def _cut(self, found: QueryLineage, query: exp.Expr) -> QueryLineage:
        """With LIMIT the order decides which rows there are, and the columns decide the order."""
        return picked(found) if _limited(query) else found

    def _recursive(self, scope: Scope, operation: exp.SetOperation, name: str) -> QueryLineage:
        """The least lineage that agrees with itself: the rows so far are what the recursive branch reads."""
        before = scope.sources[name]
        branches = scope.set_operation_scopes
        found = self._scope(branches[0])
        while True:
            kept = dict(self._found)
            self._found[id(before)] = found
            grown = self._combined(scope, operation)
            if grown == found:
                return found
            self._found = kept
            found = grown

    # where columns lead

    def _read(self, node: exp.Expr, scope: Scope, select: exp.Select | None = None) -> tuple[Origins, Origins]:
        """What an expression reads itself, and what picks the rows of the subqueries in it."""
        values, conditions = NONE, NONE
        for part in walk_in_scope(node):
            match part:
                case exp.Column():
                    values |= self._column(part, scope)
                case exp.TableColumn():
                    values |= self._all_of(_source(scope, part.name), scope)
                case exp.Columns() | exp.PositionalColumn():
                    values |= self._all_sources(scope)
                case exp.Star() if not isinstance(part.parent, exp.Count | exp.Column | exp.Columns | exp.Dot):
                    values |= self._all_sources(scope)
                case exp.Window() if select is not None and part.args.get("alias") is not None:
                    for window in select.args.get("windows") or ():
                        if window.name == part.alias:
                            values |= self._read(window, scope)[0]
        for query in find_all_in_scope(node, *exp.UNWRAPPED_QUERIES):
            inner = next((s for s in scope.subquery_scopes if s.expression is query), None)
            if inner is not None:
                found = self._scope(inner)
                values = values.union(*(column.values for column in found.columns))
                conditions = conditions.union(found.rows, *(column.conditions for column in found.columns))
        return values, conditions

    def _column(self, column: exp.Column, scope: Scope) -> Origins:
        if not column.table:
            if isinstance(column.this, exp.Star):
                return self._all_sources(scope)
            return self._unqualified(column, scope)
        source = _source(scope, column.table)
        if isinstance(source, Scope):
            found = looked_up(self._scope(source), column.name)
            return found.values | found.conditions
        if isinstance(source, exp.Table) and (name := self._table(source)):
            known = self._columns[name.lower()]
            renamed = [alias.name.lower() for alias in source.args["alias"].columns] if source.args.get("alias") else []
            visible = dict(zip([*renamed, *list(known)[len(renamed) :]], known.values(), strict=False))
            if isinstance(column.this, exp.Star) or (known and column.name.lower() not in visible):
                return frozenset({(name, ALL)})
            return frozenset({(name, visible.get(column.name.lower(), column.name))})
        return NONE if isinstance(source, exp.Table) else self._all_sources(scope)

    def _unqualified(self, column: exp.Column, scope: Scope) -> Origins:
        """A name that was left without a table: one of the query's own columns, or else of any table."""
        selected = getattr(scope.expression, "selects", ())
        for projection in selected:
            if projection.alias_or_name == column.name and not _inside(column, projection):
                return self._read(projection, scope)[0] if isinstance(scope.expression, exp.Select) else NONE
        sources = [source for _, source in dict(scope.selected_sources).values()]
        alone = self._table(sources[0]) if len(sources) == 1 and isinstance(sources[0], exp.Table) else None
        if alone is not None and not self._columns[alone.lower()]:
            return frozenset({(alone, column.name)})
        return self._all_sources(scope)

    def _table(self, table: exp.Table) -> str | None:
        return self._tables.get(table.name.lower()) if isinstance(table.this, exp.Identifier) else None

    def _rows_of(self, source: exp.Expr | Scope, scope: Scope) -> Origins:
        if isinstance(source, Scope):
            return self._scope(source).rows
        name = self._table(source) if isinstance(source, exp.Table) else None
        return frozenset({(name, None)}) if name else self._read(source, scope)[0]

    def _all_sources(self, scope: Scope) -> Origins:
        sources = [source for _, source in dict(scope.selected_sources).values()]
        return NONE.union(*(self._all_of(source, scope) for source in sources))

    def _all_of(self, source: exp.Expr | Scope | None, scope: Scope) -> Origins:
        if isinstance(source, Scope):
            found = self._scope(source)
            return NONE.union(*(column.values | column.conditions for column in found.columns))
        if isinstance(source, exp.Table):
            name = self._table(source)
            return frozenset({(name, ALL)}) if name else self._read(source, scope)[0]
        return self._everything(scope.expression).columns[0].values

    def _everything(self, tree: exp.Expr) -> QueryLineage:
        """All columns and rows of all tables below and around a part of the query."""
        names = {name for table in tree.root().find_all(exp.Table) if (name := self._table(table))}
        values = frozenset((name, ALL) for name in names)
        rows = values | {(name, None) for name in names}
        return QueryLineage((OutputColumn(ALL, values, many=True),), rows)


def _source(scope: Scope, alias: str) -> exp.Expr | Scope | None:
    """What an alias stands for, in this scope or one around it."""
    around: Scope | None = scope
    while around is not None:
        if alias in around.sources:
            return around.sources[alias]
        around = around.parent
    return None


def _recursive_name(scope: Scope) -> str | None:
    """The name under which a recursive part of a WITH reads itself."""
    part = scope.expression.parent
    if not isinstance(part, exp.CTE) or not isinstance(part.parent, exp.With) or not part.parent.args.get("recursive"):
        return None
    return part.alias if isinstance(scope.sources.get(part.alias), Scope) else None


def _row_parts(select: exp.Select) -> Iterator[exp.Expr]:
    """What stands in a selection and decides which rows it has, beside its tables and the functions among them."""
    for part in ("where", "group", "having", "qualify"):
        if select.args.get(part) is not None:
            yield select.args[part]
    for join in find_all_in_scope(select, exp.Join):
        if join.args.get("on") is not None:
            yield join.args["on"]
    distinct = select.args.get("distinct")
    on = None if distinct is None else distinct.args.get("on")
    if on is not None:
        yield on
    if (_limited(select) or on is not None) and select.args.get("order") is not None:
        yield select.args["order"]


def _hides_pivot(select: exp.Select) -> bool:
    """Whether a table of the selection is a PIVOT or UNPIVOT, in which no columns are found."""
    tables = [part for part in (select.args.get("from_"), *(select.args.get("joins") or ())) if part is not None]
    return any(isinstance(part.this.unnest(), exp.Pivot) for part in tables)


def _limited(query: exp.Expr) -> bool:
    return any(query.args.get(part) is not None for part in ("limit", "offset"))


def _spreads(node: exp.Expr) -> bool:
    star = isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count)
    return star or isinstance(node, exp.Columns | exp.Unnest | exp.Explode)


def _aggregates(projection: exp.Expr) -> bool:
    return any(
        isinstance(node, exp.AggFunc) and not isinstance(node.parent, exp.Window) for node in walk_in_scope(projection)
    )


def _orders_by(order: exp.Expr, name: str) -> bool:
    """Whether ORDER BY names an output column, or ALL of them."""
    names = {column.name for column in order.find_all(exp.Column, exp.Var) if not getattr(column, "table", "")}
    return name in names or "ALL" in {found.upper() for found in names}


def _inside(node: exp.Expr, container: exp.Expr) -> bool:
    around: exp.Expr | None = node
    while around is not None:
        if around is container:
            return True
        around = around.parent
    return False
