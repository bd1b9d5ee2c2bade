"""Sources: where raw rows come from, and which of their columns say when they happened and became known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from featurestore.definitions.faults import Faults, Location
from featurestore.dtypes import DType
from featurestore.timeline import Visibility

if TYPE_CHECKING:
    from featurestore.definitions.view import FeatureView

NO_DELAY = timedelta(0)
_OPTIONAL = ("created_timestamp", "event_id", "deleted")  # what may name a column, and need not


@dataclass(frozen=True, slots=True)
class _TimedSource:
    """What all sources but the request share.

    `event_timestamp` names the column that says when a row happened; `created_timestamp` the one that says when it
    became known (decides ties; with visibility "created" also hides the row before). `event_id` names the column whose
    equal values are re-sends of one event, of which the latest created counts (windowed views). `deleted` names a Bool
    column: a row where it is true is a marker, which cancels the row of its key and event time (in a windowed view the
    event with its id); null is false. `delay`: how long after its event time a row can be seen. `lookback`: how far
    before its watermark a materialization reads again, for rows that arrived late and do not say when. A `timeless`
    source has no time column; its rows hold at all times.
    """

    name: str
    _: KW_ONLY
    event_timestamp: str | None = None
    created_timestamp: str | None = None
    event_id: str | None = None
    deleted: str | None = None
    delay: timedelta = NO_DELAY
    lookback: timedelta | None = None
    timeless: bool = False
    visibility: Visibility = "event"
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    declared_at: Location | None = field(default=None, init=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ParquetSource(_TimedSource):
    """Rows of Parquet files: `path` is a file, a directory (all *.parquet below it) or a glob.

    With `hive_partitions` the folders `key=value` on the way are columns as well. Relative paths start at the folder
    of featurestore.toml.
    """

    _: KW_ONLY
    path: str
    hive_partitions: bool = False

    def __post_init__(self) -> None:
        _check(self, "ParquetSource", self.path)


@dataclass(frozen=True, slots=True)
class CsvSource(_TimedSource):
    """Rows of CSV files with a header: `path` is a file, a directory (all *.csv below it) or a glob."""

    _: KW_ONLY
    path: str
    delimiter: str = ","

    def __post_init__(self) -> None:
        _check(self, "CsvSource", self.path)


@dataclass(frozen=True, slots=True)
class DeltaSource(_TimedSource):
    """Rows of a Delta table at its newest version, or always at `version`."""

    _: KW_ONLY
    path: str
    version: int | None = None

    def __post_init__(self) -> None:
        _check(self, "DeltaSource", self.path)


@dataclass(frozen=True, slots=True)
class FrameSource(_TimedSource):
    """A literal table, to try a view: a polars or pandas frame, an Arrow table, or a list of dicts."""

    _: KW_ONLY
    frame: object = field(compare=False)

    def __post_init__(self) -> None:
        _check(self, "FrameSource", "frame")


@dataclass(frozen=True, slots=True)
class ViewSource(_TimedSource):
    """The steps of a windowed view as rows, which `FeatureView.as_source` makes: keys, event_timestamp, features.

    What a marker cancels makes no step, so these rows know no markers.
    """

    _: KW_ONLY
    view: FeatureView


@dataclass(frozen=True, slots=True)
class SqlSource(_TimedSource):
    """The result of a DuckDB query over other sources and windowed views, visible to it under their names.

    The query sees whole inputs, markers of their `deleted` included; a materialized interval filters its output only.
    When an input has a delay, this source declares its own.
    """

    _: KW_ONLY
    sql: str
    inputs: Sequence[TableSource | FeatureView]

    def __post_init__(self) -> None:
        given = self.inputs if isinstance(self.inputs, list | tuple) else ()
        inputs = tuple(
            i if isinstance(i, _TimedSource) or not hasattr(i, "as_source") else i.as_source() for i in given
        )
        object.__setattr__(self, "inputs", inputs)
        faults = _checked(self, "SqlSource", self.sql)
        faults.add_if(not inputs, "inputs must list the sources that the query reads.")
        wrong = [i for i in inputs if not isinstance(i, _TimedSource)]
        faults.add_if(bool(wrong), f"inputs must be sources, found {wrong!r}.")
        known = [i for i in inputs if isinstance(i, _TimedSource)]
        faults.duplicates(tuple(i.name for i in known), "input")
        delayed = [i.name for i in known if i.delay]
        faults.add_if(
            bool(delayed) and not self.delay,
            f"input '{', '.join(delayed)}' has a delay, so this source must declare its own delay.",
        )
        faults.done()

    @property
    def tables(self) -> tuple[TableSource, ...]:
        """The inputs; a view among them as its steps."""
        return tuple(i for i in self.inputs if isinstance(i, TableSource))


TableSource = ParquetSource | CsvSource | DeltaSource | FrameSource | SqlSource | ViewSource


@dataclass(frozen=True, slots=True)
class RequestSource:
    """Values that arrive with the request (or stand in the spine): name and type of each."""

    name: str
    columns: Mapping[str, DType]
    description: str = ""
    declared_at: Location | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        faults = Faults(f"RequestSource '{self.name}'")
        object.__setattr__(self, "declared_at", faults.site)
        faults.name(self.name)
        if not isinstance(self.columns, Mapping) or not self.columns:
            faults.add(f"columns must map one or more names to types, found {self.columns!r}.")
        else:
            object.__setattr__(self, "columns", dict(self.columns))
            for column, dtype in self.columns.items():
                faults.column(column, "column")
                faults.dtype(dtype, f"column '{column}'")
        faults.done()


Source = TableSource | RequestSource


def _check(source: TableSource, kind: str, place: object) -> None:
    _checked(source, kind, place).done()


def _checked(source: TableSource, kind: str, place: object) -> Faults:
    faults = Faults(f"{kind} '{source.name}'")
    object.__setattr__(source, "declared_at", faults.site)
    faults.name(source.name)
    faults.texts(source.description, source.owner, source.tags)
    what = "sql" if isinstance(source, SqlSource) else "path"
    faults.add_if(not isinstance(place, str) or not place.strip(), f"{what} must be text that is not empty.")
    if what == "path" and isinstance(place, str):
        faults.add_if("://" in place, f"path {place!r} must be one of this machine; object stores are not built yet.")
    faults.duration(source.delay, "delay", zero=True)
    if source.lookback is not None:
        faults.duration(source.lookback, "lookback")
    faults.add_if(source.visibility not in ("event", "created"), 'visibility must be "event" or "created".')
    if source.timeless:
        extra = [use for use in ("event_timestamp", *_OPTIONAL) if getattr(source, use) is not None]
        faults.add_if(bool(extra), f"a timeless source has no {' and no '.join(extra)}; leave it out.")
        for use in ("delay", "lookback"):
            faults.add_if(bool(getattr(source, use)), f"a timeless source has no {use}; its rows hold at all times.")
    else:
        _check_times(source, faults)
    return faults


def _check_times(source: TableSource, faults: Faults) -> None:
    event = source.event_timestamp
    if event is None:
        faults.add("event_timestamp is missing: name the column that says when a row happened, or set timeless=True.")
    elif not isinstance(event, str) or not event:
        faults.add(f"event_timestamp must be the name of one column, found {event!r}.")
    for use in _OPTIONAL:
        column = getattr(source, use)
        if column is not None and (not isinstance(column, str) or not column):
            faults.add(f"{use} must be the name of one column, found {column!r}.")
    created = source.created_timestamp
    faults.add_if(
        created is not None and created == event,
        f"created_timestamp and event_timestamp are both '{event}'; name the column that says when a row became "
        "known, or leave created_timestamp out.",
    )
    faults.add_if(
        source.visibility == "created" and created is None,
        'visibility="created" needs created_timestamp, the column that says when a row became known.',
    )
    for use in ("event_timestamp", "created_timestamp", "event_id"):
        faults.add_if(
            source.deleted is not None and source.deleted == getattr(source, use),
            f"deleted and {use} are both '{source.deleted}'; name the Bool column that marks a row as deleted.",
        )
