"""Feature views: features of one entity from one source, and the part of them that a service takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import timedelta
from typing import Literal, TypeVar

from featurestore.cron import cron_faults
from featurestore.definitions.entity import Entity
from featurestore.definitions.faults import Faults, Location
from featurestore.definitions.features import Aggregation, Feature
from featurestore.definitions.sources import SqlSource, TableSource, ViewSource
from featurestore.dtypes import DType
from featurestore.errors import UnknownNameError, closest_first

T = TypeVar("T")
OnRefusal = Literal["refuse", "drop"]


@dataclass(frozen=True, slots=True)
class FeatureView:
    """Features of one entity (several entities: of their combination; none: one global row) from one source.

    A feature answers with its latest value; with a `ttl` only while that is not older than the ttl, both ends
    included. `delay` replaces the source's. `every` is the step at which windowed values change; None is
    continuous. `contract` is a pandera.polars DataFrameModel that every chunk must pass; `on_refusal` says whether
    rows that fail stop the chunk ("refuse") or are left out and reported ("drop"). `schedule` says when
    `featurestore tick` and `watch` materialize the view: a cron expression of five fields, by the clocks of
    `schedule_zone`.
    """

    name: str
    _: KW_ONLY
    entities: Sequence[Entity]
    source: TableSource | FeatureView | Sequence[TableSource]
    features: Sequence[Feature | Aggregation]
    ttl: timedelta | None = None
    delay: timedelta | None = None
    every: timedelta | None = None
    contract: type | None = None
    on_refusal: OnRefusal = "refuse"
    schedule: str | None = None
    schedule_zone: str = "UTC"
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    declared_at: Location | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        faults = Faults(f"FeatureView '{self.name}'")
        object.__setattr__(self, "declared_at", faults.site)
        faults.name(self.name)
        faults.texts(self.description, self.owner, self.tags)
        self._check_parts(faults)
        self._check_times(faults)
        for fault in () if self.schedule is None else cron_faults(self.schedule, self.schedule_zone):
            faults.add(f"schedule: {fault}")
        faults.add_if(self.on_refusal not in ("refuse", "drop"), 'on_refusal must be "refuse" or "drop".')
        faults.add_if(
            self.contract is not None and not hasattr(self.contract, "to_schema"),
            f"contract must be a pandera.polars DataFrameModel class, found {self.contract!r}.",
        )
        faults.done()

    def _check_parts(self, faults: Faults) -> None:
        entities = _members(self.entities, Entity, "entities", faults)
        object.__setattr__(self, "entities", entities)
        self._settle_source(faults)
        features = _members(self.features, Feature | Aggregation, "features", faults)
        object.__setattr__(self, "features", features)
        faults.add_if(not features, "features is empty; a view declares one feature or more.")
        names = tuple(str(feature.name) for feature in features)
        faults.duplicates(names, "feature")
        keys = tuple(key for entity in entities for key in entity.join_keys)
        faults.duplicates(keys, "join key")
        folded = {key.casefold() for key in keys}
        for name in sorted(name for name in set(names) if name.casefold() in folded):
            faults.add(f"feature '{name}' has the name of a join key; rename the feature.")
        windowed = {isinstance(feature, Aggregation) for feature in features}
        faults.add_if(len(windowed) == 2, "features mixes Feature and Aggregation; declare two views.")

    def _settle_source(self, faults: Faults) -> None:
        """A windowed view as source means its steps; several sources mean all of their rows."""
        source: object = self.source
        if isinstance(source, FeatureView):
            source = source.as_source()
        elif isinstance(source, list | tuple) and source and all(isinstance(part, TableSource) for part in source):
            source = source[0] if len(source) == 1 else _union(source, faults)
        faults.add_if(not isinstance(source, TableSource), f"source must be a source or sources, found {source!r}.")
        object.__setattr__(self, "source", source)

    def _check_times(self, faults: Faults) -> None:
        for what in ("ttl", "every"):
            if getattr(self, what) is not None:
                faults.duration(getattr(self, what), f"{what}")
        if self.delay is not None:
            faults.duration(self.delay, "delay", zero=True)
        if not isinstance(self.source, TableSource):
            return
        timeless = self.source.timeless
        faults.add_if(
            timeless and self.ttl is not None,
            f"source '{self.source.name if timeless else ''}' is timeless, so its rows have no age; leave ttl out.",
        )
        faults.add_if(timeless and bool(self.delay), "the source is timeless; leave delay out.")
        faults.add_if(timeless and self.windowed, "the source is timeless, so it has no events to aggregate.")
        faults.add_if(
            self.every is not None and not self.windowed,
            "every is the step of windowed values, and this view has no Aggregation; leave it out.",
        )
        faults.add_if(
            self.windowed and self.every is None and bool(self.effective_delay),
            "a continuous view (every=None) cannot have a delay; give every, or set delay=timedelta(0).",
        )

        faults.add_if(
            self.windowed and self.source.event_id is not None and self.source.visibility == "created",
            f"source '{self.source.name}' has event_id and visibility=\"created\"; windowed views take one of them.",
        )
        deleted = self.source.deleted
        faults.add_if(
            self.windowed and deleted is not None and self.source.event_id is None,
            f"source '{self.source.name}' has deleted and no event_id, by which alone a marker finds the event that it "
            "cancels; name the event_id.",
        )
        faults.add_if(
            deleted is not None and deleted in {key for entity in self.entities for key in entity.join_keys},
            f"'{deleted}' is a join key, and the column by which source '{self.source.name}' marks rows as deleted; "
            "they must be two.",
        )

    def as_source(self) -> ViewSource:
        """The steps of a windowed view as a source: one row per key and step at which a window holds an event."""
        faults = Faults(f"FeatureView '{self.name}'")
        steps = self.windowed and self.every is not None
        faults.add_if(not steps, "only a windowed view with every= can be a source, for its steps are its rows.")
        endless = [str(f.name) for f in self.features if isinstance(f, Aggregation) and f.window is None]
        faults.add_if(bool(endless), f"'{', '.join(endless)}' has no window, so its steps never end; give it one.")
        faults.done()
        return ViewSource(self.name, event_timestamp="event_timestamp", view=self)

    @property
    def windowed(self) -> bool:
        """Whether the features are aggregations."""
        return any(isinstance(feature, Aggregation) for feature in self.features)

    @property
    def effective_delay(self) -> timedelta:
        """The view's own delay, or else its source's."""
        return self.table.delay if self.delay is None else self.delay

    @property
    def table(self) -> TableSource:
        """The source that the rows come from: the one given, the steps of the view given, or all given together."""
        assert isinstance(self.source, TableSource)  # a declaration with another source is refused
        return self.source

    @property
    def join_keys(self) -> dict[str, DType]:
        """All join keys of the entities, in order."""
        return {key: dtype for entity in self.entities for key, dtype in entity.join_keys.items()}

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features, in order."""
        return tuple(str(feature.name) for feature in self.features)

    def projection(self) -> ViewProjection:
        """All features under their plain names."""
        return ViewProjection(self, self.feature_names)

    def version(self, number: int) -> ViewProjection:
        """All features of an applied version of the view, whatever is declared now: `last.version(2)[["amount"]]`."""
        return self.projection().version(number)

    def __getitem__(self, features: str | Iterable[str]) -> ViewProjection:
        """Some of the features, in the order given."""
        return self.projection()[features]

    def with_join_keys(self, **aliases: str) -> ViewProjection:
        """The view looked up by other columns: `with_join_keys(airport="origin")` names its features `origin__...`."""
        return self.projection().with_join_keys(**aliases)


@dataclass(frozen=True, slots=True)
class ViewProjection:
    """Some features of a view, perhaps looked up under other key names, perhaps prefixed, perhaps of one version.

    With `pinned` the features are those of that version: none stand for all it has, and names are checked by `plan`.
    """

    view: FeatureView
    features: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    pinned: int | None = None

    def version(self, number: int) -> ViewProjection:
        """All features of that version of the view, under the same keys and prefix; select some of them afterwards."""
        faults = Faults(f"FeatureView '{self.view.name}'")
        counts = isinstance(number, int) and not isinstance(number, bool) and number > 0
        faults.add_if(not counts, f"a version is a number from 1 on, found {number!r}.")
        faults.done()
        return replace(self, features=(), pinned=number)

    def __getitem__(self, features: str | Iterable[str]) -> ViewProjection:
        """Some of the features, in the order given."""
        names = (features,) if isinstance(features, str) else tuple(features)
        faults = Faults(f"FeatureView '{self.view.name}'")
        for name in names:
            if self.pinned is None and name not in self.view.feature_names:
                faults.add(str(UnknownNameError("feature", name, self.view.feature_names)))
        faults.duplicates(names, "selected feature")
        faults.add_if(self.pinned is not None and not names, "no feature is selected; name one or more.")
        faults.done()
        known = (n for n in names if self.pinned is not None or n in self.view.feature_names)
        return replace(self, features=tuple(known))

    def with_join_keys(self, **aliases: str) -> ViewProjection:
        """Look the view up by other columns; the features get the new names, joined by `_`, and `__` as prefix."""
        faults = Faults(f"FeatureView '{self.view.name}'")
        for key, alias in aliases.items():
            faults.add_if(
                self.pinned is None and key not in self.view.join_keys,
                f"there is no join key '{key}' to alias; it has {', '.join(closest_first(key, self.view.join_keys))}.",
            )
            faults.column(alias, "alias")
        merged = {**self.aliases, **aliases}
        columns = [merged.get(key, key) for key in self.view.join_keys]
        faults.add_if(len(set(columns)) < len(columns), f"two join keys would read the same column: {columns}.")
        faults.done()
        return replace(self, aliases=merged, prefix="_".join(merged.values()))

    def with_prefix(self, prefix: str) -> ViewProjection:
        """The same features named `{prefix}__{feature}`; an empty prefix gives plain names."""
        if prefix:
            faults = Faults(f"FeatureView '{self.view.name}'")
            faults.name(prefix, "prefix")
            faults.done()
        return replace(self, prefix=prefix)

    @property
    def keys(self) -> dict[str, str]:
        """The view's join keys, each with the column it is looked up by."""
        return {key: self.aliases.get(key, key) for key in self.view.join_keys}

    def output_name(self, feature: str) -> str:
        """The feature's name in a service's answer."""
        return f"{self.prefix}__{feature}" if self.prefix else feature


def _union(sources: Sequence[TableSource], faults: Faults) -> SqlSource:
    times = {(s.event_timestamp, s.created_timestamp, s.event_id, s.deleted) for s in sources}
    faults.add_if(
        len(times) > 1,
        "several sources must name the same time columns, event_id and deleted; align them in SqlSources.",
    )
    first = sources[0]
    return SqlSource(
        "_and_".join(source.name for source in sources),
        sql=" UNION ALL BY NAME ".join(f'SELECT * FROM "{source.name}"' for source in sources),
        inputs=tuple(sources),
        event_timestamp=first.event_timestamp,
        created_timestamp=first.created_timestamp,
        event_id=first.event_id,
        deleted=first.deleted,
        delay=max(source.delay for source in sources),
        lookback=max((source.lookback for source in sources if source.lookback is not None), default=None),
        visibility=first.visibility,
    )


def _members(values: Iterable[T], kind: object, what: str, faults: Faults) -> tuple[T, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        faults.add(f"{what} must be a list, found {values!r}.")
        return ()
    members = tuple(values)
    wrong = [member for member in members if not isinstance(member, kind)]  # type: ignore[arg-type]  # a class or a union
    faults.add_if(bool(wrong), f"{what} holds {wrong!r}, which is none.")
    return tuple(member for member in members if isinstance(member, kind))  # type: ignore[arg-type]  # as above
