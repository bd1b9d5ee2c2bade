"""A view's rows as SQL over a relation: keys, times, sequence and columns in their logical types."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count

import duckdb

from featurestore.dtypes import Bool, Int64, Timestamp, duckdb_type, stored_type
from featurestore.engines.duckdb.errors import translated
from featurestore.engines.duckdb.files import pattern
from featurestore.engines.duckdb.relation import Relation
from featurestore.engines.duckdb.scan import relation
from featurestore.engines.duckdb.text import listed, literals, quoted
from featurestore.engines.duckdb.types import converted, instant, kept_type
from featurestore.errors import InputError, SourceError
from featurestore.plan.nodes import Column, Computed, CsvScan, Rows, SourceRows, SqlScan, StoredRows
from featurestore.timeline import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP, FIRST_PUSHED, SEQUENCE

_FIRST = -(2**63)
_COPIES = count()  # temporary tables need names that differ


@dataclass(frozen=True, slots=True)
class ViewRows:
    """SQL expressions over `table`, which stands behind FROM.

    Times are int64 microseconds; `event` is None for a timeless view, `created` when no row has one. `raw_event` is the
    event time as DuckDB stores it, for filters that can skip row groups. `condition` says which rows of the table are
    the view's: rows without event time are none of a view that has times. `deleted` says whether a row is a marker,
    never null; None when there are none.
    """

    what: str
    table: str
    keys: tuple[str, ...]
    event: str | None
    raw_event: str | None
    created: str | None
    sequence: str
    columns: dict[str, str]
    extra: dict[str, str]
    names: tuple[str, ...]  # of the keys
    expressions: dict[str, str]  # those that a user wrote, by the column they compute
    cursor: duckdb.DuckDBPyConnection
    condition: str = "true"
    deleted: str | None = None
    computed: ViewRows | None = None  # of rows from two places: those whose expressions a user wrote

    def blame(self) -> str:
        """Where a failure happened: the view, with the first feature whose expression fails for some row."""
        if self.computed is not None:
            return self.computed.blame()
        for name, sql in self.expressions.items():
            try:
                self.cursor.sql(f"SELECT max(hash({sql})) FROM {self.table}").fetchall()
            except duckdb.Error:
                return f"{self.what}: feature '{name}'"
        return self.what

    @property
    def order(self) -> tuple[str, ...]:
        """What decides between rows of one key, least first: event time, created time with null lowest, sequence."""
        times = [self.event] if self.event else []
        return (*times, *([f"{self.created} NULLS FIRST"] if self.created else []), self.sequence)

    @property
    def latest_first(self) -> str:
        """The same order, greatest first, as SQL."""
        times = [f"{self.event} DESC"] if self.event else []
        created = [f"{self.created} DESC NULLS LAST"] if self.created else []
        return listed([*times, *created, f"{self.sequence} DESC"])

    def before(self, micros: int) -> str:
        """SQL: whether the event time lies before an instant."""
        return f"{self.raw_event} < make_timestamptz(CAST({micros} AS BIGINT))"

    def until(self, micros: int) -> str:
        """SQL: whether the event time is the instant or lies before it."""
        return f"{self.raw_event} <= make_timestamptz(CAST({max(micros, _FIRST)} AS BIGINT))"

    def since(self, micros: int) -> str:
        """SQL: whether the event time is the instant or lies after it."""
        return f"{self.raw_event} >= make_timestamptz(CAST({micros} AS BIGINT))"

    def last_before(self, micros: int) -> str:
        """A query of the sequences of each key's last row before an instant; of rows with markers, see `SourceRows`."""
        if self.deleted is not None:
            return self._last_standing_before(micros)
        keys = [f"k{place}" for place in range(len(self.keys))]
        thin = listed(
            [*(f"{sql} AS {key}" for key, sql in zip(keys, self.keys, strict=True)), f"{self.event} AS event"]
        )
        earlier = f"FROM {self.table} WHERE ({self.condition}) AND {self.before(micros)}"
        latest = f"SELECT {listed([*keys, 'max(event) AS event'])} FROM (SELECT {thin} {earlier})"
        same = [f"{sql} IS NOT DISTINCT FROM w.{key}" for key, sql in zip(keys, self.keys, strict=True)]
        return (
            f"SELECT {self.sequence} FROM {self.table} JOIN ({latest}{' GROUP BY ' + listed(keys) if keys else ''}) w "
            f"ON {' AND '.join([*same, f'{self.event} = w.event'])} WHERE {self.condition} "
            f"QUALIFY row_number() OVER (PARTITION BY {listed([*keys, 'w.event'])} ORDER BY {self.latest_first}) = 1"
        )

    def _last_standing_before(self, micros: int) -> str:
        greatest = (
            f"row_number() OVER (PARTITION BY {listed([*self.keys, str(self.event)])} ORDER BY {self.latest_first})"
        )
        keys = [f"k{place}" for place in range(len(self.keys))]
        named = [f"{sql} AS {key}" for key, sql in zip(keys, self.keys, strict=True)]
        stands = f"{greatest} = 1 AND NOT {self.deleted} AS stands"
        earlier = (
            f"SELECT {listed([*named, f'{self.event} AS e', f'{self.sequence} AS s', stands])} FROM {self.table} "
            f"WHERE ({self.condition}) AND {self.before(micros)}"
        )
        by_key = f"PARTITION BY {listed(keys)}" if keys else ""
        return f"SELECT s FROM ({earlier}) QUALIFY (e < max(e) FILTER (WHERE stands) OVER ({by_key})) IS NOT TRUE"

    def events_from(self, micros: int) -> ViewRows:
        """The rows at or after an instant."""
        return replace(self, condition=f"({self.condition}) AND {self.since(micros)}")

    def from_start(self, micros: int) -> ViewRows:
        """The rows at or after an instant, and those of `last_before`."""
        kept = f"({self.condition}) AND ({self.since(micros)} OR {self.sequence} IN ({self.last_before(micros)}))"
        return replace(self, condition=kept)


def view_rows(
    cursor: duckdb.DuckDBPyConnection, rows: Rows, wanted: Iterable[str] | None = None, again: bool = True
) -> ViewRows:
    """A view's rows, with the columns `wanted` (None: all).

    `again` says that the SQL will be run more than once: then what is costly to read twice, or would come in another
    order (query results, CSV), is copied to a temporary table first.
    """
    names = None if wanted is None else set(wanted)
    with translated(f"View '{rows.view}'"):
        match rows:
            case StoredRows():
                return _stored(cursor, rows, names)
            case SourceRows():
                found = _source(cursor, rows, names, again or rows.start_us is not None)
                if rows.start_us is not None:
                    found = found.events_from(rows.start_us) if rows.events else found.from_start(rows.start_us)
                return found if rows.pushed is None else _beside(found, _stored(cursor, rows.pushed, names))
    raise NotImplementedError(f"The duckdb engine has no rows {type(rows).__name__}.")


def _beside(computed: ViewRows, stored: ViewRows) -> ViewRows:
    """Rows computed from a source, and rows of the same view as stored."""
    keys = tuple(f"__k{place}" for place in range(len(computed.keys)))
    values = {name: quoted(f"__v {name}") for name in computed.columns}

    def query(rows: ViewRows) -> str:
        pairs = [*zip(rows.keys, keys, strict=True), *((rows.columns[name], short) for name, short in values.items())]
        pairs += [(str(rows.event), "__e"), (str(rows.raw_event), "__raw"), (rows.sequence, "__s")]
        pairs += [(rows.created or "CAST(NULL AS BIGINT)", "__c"), (rows.deleted or "false", "__d")]
        columns = listed(f"{sql} AS {name}" for sql, name in pairs)
        return f"SELECT {columns} FROM {rows.table} WHERE {rows.condition}"

    return replace(
        computed,
        table=f"({query(computed)} UNION ALL {query(stored)})",
        keys=keys,
        event="__e",
        raw_event="__raw",
        created="__c" if computed.created else None,
        deleted="__d" if computed.deleted else None,
        sequence="__s",
        columns=values,
        condition="true",
        computed=computed,
    )


def _stored(cursor: duckdb.DuckDBPyConnection, rows: StoredRows, wanted: set[str] | None) -> ViewRows:
    columns = [column for column in rows.columns if wanted is None or column.name in wanted]
    files = literals(pattern(file) for file in rows.files)
    table = f"read_parquet({files}, hive_partitioning = false)" if rows.files else _no_rows(rows)
    if rows.origin != "all":
        side = ">=" if rows.origin == "pushed" else "<"
        table = f"(SELECT * FROM {table} WHERE {quoted(SEQUENCE)} {side} {FIRST_PUSHED})"
    return ViewRows(
        what=f"View '{rows.view}'",
        table=table,
        keys=tuple(_restored(key) for key in rows.keys),
        event=None if rows.timeless else f"epoch_us({quoted(EVENT_TIMESTAMP)})",
        raw_event=None if rows.timeless else quoted(EVENT_TIMESTAMP),
        created=f"epoch_us({quoted(CREATED_TIMESTAMP)})" if rows.has_created and not rows.timeless else None,
        sequence=quoted(SEQUENCE),
        columns={column.name: _restored(column) for column in columns},
        extra={},
        names=tuple(key.name for key in rows.keys),
        expressions={},
        cursor=cursor,
        deleted=quoted(DELETED) if rows.deleted else None,
    )


def _restored(column: Column) -> str:
    kept = kept_type(column.dtype)
    same = duckdb_type(stored_type(column.dtype)) == kept
    return quoted(column.name) if same else f"CAST({quoted(column.name)} AS {kept})"


def _no_rows(rows: StoredRows) -> str:
    times = (Column(EVENT_TIMESTAMP, Timestamp), Column(CREATED_TIMESTAMP, Timestamp), Column(SEQUENCE, Int64))
    marks = (Column(DELETED, Bool),) if rows.deleted else ()
    columns = (*rows.keys, *times, *marks, *rows.columns)
    nulls = [f"CAST(NULL AS {duckdb_type(stored_type(c.dtype))}) AS {quoted(c.name)}" for c in columns]
    return f"(SELECT {listed(nulls)} WHERE false)"


def _source(cursor: duckdb.DuckDBPyConnection, rows: SourceRows, wanted: set[str] | None, again: bool) -> ViewRows:
    what = f"View '{rows.view}', source '{rows.scan.name}'"
    columns = tuple(column for column in rows.columns if wanted is None or column.name in wanted)
    marker = () if rows.deleted is None else (Computed(DELETED, Bool, rows.deleted),)
    computed = (*rows.keys, *columns, *marker)
    texts = {c.column for c in computed if c.expression is None and c.dtype.name == "String"}
    source = replace(relation(cursor, rows.scan, texts), what=what)
    table, place = source.numbered()
    if again and isinstance(rows.scan, SqlScan | CsvScan):
        table = _copied(cursor, table)
    event = _time(source, rows.event_timestamp)
    expressions = {c.name: _expression(source, c) for c in computed if c.expression is not None}
    values = _values(cursor, source, table, computed, expressions)
    return ViewRows(
        what=what,
        table=table,
        keys=tuple(values[key.name] for key in rows.keys),
        event=event,
        raw_event=None
        if event is None
        else f"make_timestamptz({event})"
        if source.columns[str(rows.event_timestamp)] != "TIMESTAMP WITH TIME ZONE"
        else quoted(str(rows.event_timestamp)),
        created=_time(source, rows.created_timestamp),
        sequence=place,
        columns={column.name: values[column.name] for column in columns},
        extra={name: _extra(source, name) for name in rows.extra},
        names=tuple(key.name for key in rows.keys),
        expressions=expressions,
        cursor=cursor,
        condition="true" if event is None else f"{event} IS NOT NULL",
        deleted=f"coalesce({values[DELETED]}, false)" if marker else None,
    )


def _copied(cursor: duckdb.DuckDBPyConnection, table: str) -> str:
    name = f"__copy_{next(_COPIES)}"
    cursor.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM {table}")
    return name


def _time(source: Relation, column: str | None) -> str | None:
    return None if column is None else instant(quoted(column), source.type_of(column), column, source.what)


def _extra(source: Relation, column: str) -> str:
    source.type_of(column)
    return quoted(column)


def _values(
    cursor: duckdb.DuckDBPyConnection,
    source: Relation,
    table: str,
    computed: tuple[Computed, ...],
    expressions: dict[str, str],
) -> dict[str, str]:
    """SQL of each computed column in its declared type."""
    types: dict[str, str] = {}
    for name, sql in expressions.items():
        with translated(f"{source.what}: feature '{name}'", columns=source.columns):
            types[name] = str(cursor.sql(f"SELECT {sql} FROM {table}").types[0])
    values = {}
    for c in computed:
        if c.name in expressions:
            values[c.name] = converted(f"({expressions[c.name]})", types[c.name], c.dtype, c.name, source.what)
        else:
            found = source.type_of(c.column)
            text = c.column in source.texts
            values[c.name] = converted(quoted(c.column), found, c.dtype, c.column, source.what, text)
    return values


def _expression(source: Relation, computed: Computed) -> str:
    try:
        return expression_sql(str(computed.expression))
    except InputError as error:
        raise SourceError(f"{source.what}: feature '{computed.name}': {error}") from error


def expression_sql(text: str) -> str:
    """A user's expression in DuckDB's own spelling, after it was checked; raises InputError."""
    from featurestore.sql import check_expression  # takes a while to import, and stored rows need none

    check_expression(text)
    with translated(f"Expression '{text}'", InputError):
        return str(duckdb.SQLExpression(text))
