"""What is applied, as pure data: records that the registry keeps as JSON and that plans are built from.

A record holds names, texts and numbers only, with paths as declared (relative to the project). Types stand in their
text form. `Metadata` is what may change without changing what a feature means.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from featurestore.timeline import Visibility


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What people read: changing it makes no new version."""

    description: str = ""
    owner: str = ""
    tags: dict[str, str] = {}


class EntityRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="entity"):
    """An entity: `join_keys` are (name, type) in order."""

    name: str
    join_keys: tuple[tuple[str, str], ...]
    metadata: Metadata = Metadata()


class ParquetPlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="parquet"):
    """Parquet files."""

    path: str
    hive_partitions: bool = False


class CsvPlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="csv"):
    """CSV files."""

    path: str
    delimiter: str = ","


class DeltaPlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="delta"):
    """A Delta table."""

    path: str
    version: int | None = None


class FramePlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="frame"):
    """Literal rows: an Arrow IPC stream."""

    data: bytes


class SqlPlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="sql"):
    """A query over other sources."""

    sql: str
    inputs: tuple[SourceRecord, ...]


class ViewPlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="view_steps"):
    """The steps of a windowed view."""

    view: ViewRecord


Place = ParquetPlace | CsvPlace | DeltaPlace | FramePlace | SqlPlace | ViewPlace


class SourceRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="source"):
    """A source: where its rows are and which columns say when they happened, became known and were cancelled."""

    name: str
    place: Place
    event_timestamp: str | None = None
    created_timestamp: str | None = None
    event_id: str | None = None
    deleted: str | None = None
    delay_us: int = 0
    lookback_us: int | None = None
    timeless: bool = False
    visibility: Visibility = "event"
    metadata: Metadata = Metadata()


class FeatureRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored feature: `stored` is its column in the offline table, which a rename leaves alone."""

    name: str
    dtype: str
    column: str
    expression: str | None = None
    was: str | None = None
    stored: str = ""
    metadata: Metadata = Metadata()


class AggregationRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A windowed feature; `dtype` is found from the source's columns when it is planned.

    `value`, `mask` and `under` name the event columns of its column, its condition and, for ratios, the condition
    below the line; empty where it has none.
    """

    name: str
    column: str
    function: str
    window_us: int | None
    offset_us: int = 0
    where: str | None = None
    params: dict[str, float | int | str] = {}
    dtype: str = ""
    value: str = ""
    mask: str = ""
    under: str = ""
    metadata: Metadata = Metadata()


class ContractRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A contract: where its class stands (`module:name`) and the digest of what it checks."""

    reference: str
    digest: str


class ScheduleRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a view is to be materialized: a cron expression, by the clocks of a zone."""

    cron: str
    zone: str = "UTC"


class ViewRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="view"):
    """A feature view with its source inside, so that a version stands for itself.

    Of a windowed view `aggregations` are its features, and `events` the columns of its events that they use.
    """

    name: str
    entities: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]
    source: SourceRecord
    features: tuple[FeatureRecord, ...] = ()
    aggregations: tuple[AggregationRecord, ...] = ()
    events: tuple[FeatureRecord, ...] = ()
    ttl_us: int | None = None
    delay_us: int = 0
    every_us: int | None = None
    contract: ContractRecord | None = None
    on_refusal: Literal["refuse", "drop"] = "refuse"
    schedule: ScheduleRecord | None = None
    metadata: Metadata = Metadata()

    @property
    def outputs(self) -> tuple[FeatureRecord | AggregationRecord, ...]:
        """The features, in order."""
        return self.features or self.aggregations

    def output(self, name: str) -> FeatureRecord | AggregationRecord:
        """The feature of that name; it exists, for services are checked when planned."""
        return next(feature for feature in self.outputs if feature.name == name)


class Projected(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="view"):
    """Features of a view in a service or as on-demand inputs: `keys` are (join key, column it is looked up by).

    `version` pins one version of the view; otherwise the one that serves is meant. On-demand inputs hold the `types`
    of the features, which their computation was made for.
    """

    view: str
    features: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]
    prefix: str = ""
    version: int | None = None
    types: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """What names the view, and its version when pinned."""
        return reference(self.view, self.version)

    def output_name(self, feature: str) -> str:
        """The feature's name in the answer."""
        return f"{self.prefix}__{feature}" if self.prefix else feature


def reference(view: str, version: int | None = None) -> str:
    """`last`, or `last@2` for one version."""
    return view if version is None else f"{view}@{version}"


_MOST_DIGITS = 9  # of a version


def parse_reference(text: str) -> tuple[str, int | None]:
    """The view and version that a reference names; what is no version stays part of the name."""
    view, _, version = text.partition("@")
    return (view, int(version)) if version.isdecimal() and len(version) <= _MOST_DIGITS else (text, None)


class Requested(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="request"):
    """Columns that arrive with the request: (name, type)."""

    source: str
    columns: tuple[tuple[str, str], ...]


class ExpressionText(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="expressions"):
    """On-demand features as polars expressions in JSON form: (feature, expression)."""

    features: tuple[tuple[str, str], ...]


class FunctionReference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="function"):
    """On-demand features as a Python function: where it stands and the digest of its source."""

    module: str
    name: str
    digest: str


class OnDemandRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="on_demand"):
    """An on-demand view: `features` are (name, type)."""

    name: str
    inputs: tuple[Requested | Projected, ...]
    features: tuple[tuple[str, str], ...]
    computation: ExpressionText | FunctionReference
    metadata: Metadata = Metadata()


class OnDemandMember(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="on_demand"):
    """An on-demand view in a service: all of its features, or those named."""

    view: str
    features: tuple[str, ...] = ()


class ServiceRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="service"):
    """A service: its members in order."""

    name: str
    members: tuple[Projected | OnDemandMember, ...]
    metadata: Metadata = Metadata()


def projections(record: ServiceRecord | OnDemandRecord) -> tuple[Projected, ...]:
    """The parts of views that a service or an on-demand view names itself."""
    parts = record.members if isinstance(record, ServiceRecord) else record.inputs
    return tuple(part for part in parts if isinstance(part, Projected))


def pins_of(record: ServiceRecord | OnDemandRecord) -> frozenset[tuple[str, int]]:
    """(view, version) that a service or an on-demand view pins itself."""
    return frozenset((part.view, part.version) for part in projections(record) if part.version is not None)


Object = EntityRecord | SourceRecord | ViewRecord | OnDemandRecord | ServiceRecord
KINDS: dict[str, type[Object]] = {
    "entity": EntityRecord,
    "source": SourceRecord,
    "view": ViewRecord,
    "on_demand": OnDemandRecord,
    "service": ServiceRecord,
}


def kind_of(record: Object) -> str:
    """The record's kind: entity, source, view, on_demand or service."""
    return next(kind for kind, struct in KINDS.items() if isinstance(record, struct))


class Catalog(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that is applied (or declared, or serves), by name; `versions` counts a view's meanings.

    `pinned` holds the versions of views that services and on-demand views pin, by reference (`last@2`).
    """

    entities: dict[str, EntityRecord] = {}
    sources: dict[str, SourceRecord] = {}
    views: dict[str, ViewRecord] = {}
    on_demand: dict[str, OnDemandRecord] = {}
    services: dict[str, ServiceRecord] = {}
    versions: dict[str, int] = {}
    pinned: dict[str, ViewRecord] = {}

    def view(self, reference: str) -> ViewRecord:
        """The view that a reference names; it exists, for references are checked before."""
        found = self.views.get(reference)
        return self.pinned[reference] if found is None else found

    def version(self, reference: str) -> int:
        """The version that a reference names."""
        view, pinned = parse_reference(reference)
        return self.versions[view] if pinned is None else pinned

    def pins(self) -> frozenset[tuple[str, int]]:
        """(view, version) that services and on-demand views pin."""
        return frozenset(pin for record in self._dependents() for pin in pins_of(record))

    def _dependents(self) -> tuple[ServiceRecord | OnDemandRecord, ...]:
        return (*self.services.values(), *self.on_demand.values())

    def objects(self) -> dict[tuple[str, str], Object]:
        """All records by (kind, name), in the order of kinds."""
        return {
            **{("entity", n): r for n, r in self.entities.items()},
            **{("source", n): r for n, r in self.sources.items()},
            **{("view", n): r for n, r in self.views.items()},
            **{("on_demand", n): r for n, r in self.on_demand.items()},
            **{("service", n): r for n, r in self.services.items()},
        }

    def lost(self) -> tuple[str, ...]:
        """The views that a service or an on-demand view names and the catalog does not hold; none in a sound one."""
        members = [member for service in self.services.values() for member in service.members]
        computed = {member.view for member in members if isinstance(member, OnDemandMember)}
        named = {part.reference for record in self._dependents() for part in projections(record)} | computed
        return tuple(sorted(named - {*self.views, *self.on_demand, *self.pinned}))

    @staticmethod
    def of(
        objects: dict[tuple[str, str], Object], versions: dict[str, int], pinned: dict[str, ViewRecord] | None = None
    ) -> Catalog:
        """The catalog that holds the given records."""
        by_kind: dict[str, dict[str, Object]] = {kind: {} for kind in KINDS}
        for (kind, name), record in objects.items():
            by_kind[kind][name] = record
        return msgspec.convert(
            {
                "entities": by_kind["entity"],
                "sources": by_kind["source"],
                "views": by_kind["view"],
                "on_demand": by_kind["on_demand"],
                "services": by_kind["service"],
                "versions": versions,
                "pinned": pinned or {},
            },
            Catalog,
        )


def encode(record: Object) -> bytes:
    """The record as JSON, always the same bytes for equal records."""
    return msgspec.json.encode(record, order="deterministic")


def decode(kind: str, document: bytes) -> Object:
    """The record of that kind from its JSON; raises msgspec.DecodeError for anything else."""
    return msgspec.json.decode(document, type=KINDS[kind])
