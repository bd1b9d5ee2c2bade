"""What a project's history answers: training sets, the steps of views, SQL, and what was kept of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from featurestore.definitions import FeatureService, FeatureView
from featurestore.errors import InputError, UnknownNameError
from featurestore.keeping import Keeping
from featurestore.plan.building import ViewInput, build_historical_plan
from featurestore.plan.catalog import Catalog
from featurestore.plan.nodes import Scan
from featurestore.plan.selection import Selection, asked_versions, select
from featurestore.registry.base import ModelRecord
from featurestore.registry.finding import with_versions
from featurestore.timeline import instant_us

if TYPE_CHECKING:
    import polars as pl

    from featurestore.dataset import Dataset
    from featurestore.datasets import Datasets
    from featurestore.lineage import Lineage
    from featurestore.materialization.waiting import Waiting
    from featurestore.models import Models
    from featurestore.pinning import Pins, ViewPin
    from featurestore.ranges import FeatureSteps
    from featurestore.retrieval import TrainingSet

    Features = str | FeatureService | Sequence[str]


class History(Keeping):
    """The half of a feature store that asks what is applied and what is committed."""

    def catalog(self) -> Catalog:
        """What is applied."""
        return self.registry.catalog()[1]

    def serving(self) -> Catalog:
        """What answers retrievals and lookups: what is applied, except for what is `waiting`."""
        return self.registry.serving()[1]

    def waiting(self) -> tuple[Waiting, ...]:
        """What is applied and does not serve yet, and why."""
        from featurestore.materialization.waiting import waiting_objects

        return waiting_objects(self.registry.state(), self._switcher)

    def get_historical_features(
        self,
        spine: object,
        features: Features,
        *,
        timestamp: str = "event_timestamp",
        from_source: bool = False,
        as_of: datetime | None = None,
        statuses: bool = False,
    ) -> TrainingSet:
        """For each spine row the features as they were known at its `timestamp`: one row each, in the spine's order.

        `spine`: a polars or pandas frame, an Arrow table or reader, a Parquet path, or a SQL query over views, sources
        and datasets. `from_source` computes from the sources without materializing; `as_of` answers with what each
        view had committed at that instant; `statuses` adds `<feature>__status`. Raises UnknownNameError, InputError
        for a spine that does not fit, and NotCommittedError when a view had committed nothing yet.
        """
        if from_source and as_of is not None:
            raise InputError(
                "as_of asks for what was committed, and from_source for what the sources hold now; give one of them."
            )
        pins = self.pins(features, as_of)
        return self.retrieve(spine, pins, timestamp=timestamp, from_source=from_source, statuses=statuses)

    def get_features_in_range(
        self,
        view: str | FeatureView,
        start: datetime,
        end: datetime,
        entities: object = None,
        *,
        as_of: datetime | None = None,
    ) -> FeatureSteps:
        """The steps of a view in [start, end), without a spine: at each t of a step's [valid_from, valid_to) the
        features are those of the step, and where no step is they are NOT_FOUND or OUTSIDE_MAX_AGE.

        A step in force at `start` begins there, one in force at `end` has a null `valid_to`. `entities` is a frame or
        list of dicts of join keys (None: all). Raises UnknownNameError, and InputError for an empty range.
        """
        from featurestore.ranges import all_features, features_in_range

        pins = self.pins([all_features(view)], as_of)
        return features_in_range(pins, instant_us(start, "start"), instant_us(end, "end"), entities, self.engine)

    def pins(self, features: Features, as_of: datetime | None = None) -> Pins:
        """What the features' answers rest on: the records that serve, and of each view's table the newest version.

        With `as_of` the newest version that was committed by then; raises NotCommittedError when there was none.
        """
        from featurestore.pinning import Pins, committed_by

        revision, serving = self.registry.serving()
        catalog, selection = self.selected(features, serving)
        as_of_us = None if as_of is None else instant_us(as_of, "as_of")
        return Pins.of(selection, catalog, revision, committed_by(as_of_us, self.tables, self.now_us))

    def retrieve(
        self,
        spine: object,
        pins: Pins,
        *,
        timestamp: str = "event_timestamp",
        from_source: bool = False,
        statuses: bool = False,
    ) -> TrainingSet:
        """What `get_historical_features` answers when each view is read as pinned; equal pins give equal answers.

        From source, pins fix the records and the committed start only.
        """
        from featurestore.project.functions import resolve_functions
        from featurestore.project.spines import as_spine
        from featurestore.retrieval import Retrieval, TrainingSet

        inputs = {name: self._from_source(pin) if from_source else pin.stored() for name, pin in pins.views.items()}
        plan = build_historical_plan(pins.selection, pins.catalog, inputs, timestamp)
        resolve_functions(plan.on_demand, self.root, self.configuration.definitions)
        rows = as_spine(spine, lambda: self._queryable(self.serving()))
        retrieval = Retrieval(plan, rows, self.engine, pins, statuses=statuses, from_source=from_source)
        return TrainingSet(retrieval, self.datasets.save)

    def sql(self, query: str) -> pl.DataFrame:
        """The result of one read-only query; every view, source and dataset is a table of its name."""
        import polars as pl

        with self.engine.query(query, self._queryable(self.serving())) as reader:
            table = reader.read_all()
        try:
            return pl.DataFrame(table)
        except pl.exceptions.PolarsError as error:  # such as an interval
            types = ", ".join(f"{field.name} {field.type}" for field in table.schema)
            raise InputError(
                f"Query: its result ({types}) has a type without a place in a frame; convert it, such as with "
                "CAST(... AS VARCHAR)."
            ) from error

    def record_model(
        self,
        name: str,
        *,
        dataset: Dataset | str | None = None,
        service: str | None = None,
        uri: str | None = None,
        digest: str | None = None,
        notes: str = "",
    ) -> ModelRecord:
        """Record a model trained elsewhere as the next version of `name`, with the dataset or service it learned from.

        `dataset` may be `name@version`. `uri`: a path, from the project's folder, or a URI; of a file the SHA-256 is
        computed. Raises UnknownNameError, and InputError for a model that learned from nothing or a missing file.
        """
        return self.models.record(name, (dataset, service), uri, digest, notes)

    def lineage(self) -> Lineage:
        """What comes from what, column by column: from the sources through what is applied to datasets and models.

        Reads the declarations' SQL and the headers of the sources' files; computes nothing.
        """
        from featurestore.lineage import Known, SourceColumns, build_lineage

        return build_lineage(Known.of(self.registry, self.root), SourceColumns(self.engine, str(self.root)))

    def _queryable(self, catalog: Catalog) -> tuple[Scan, ...]:
        from featurestore.project.tables import queryable_tables

        return queryable_tables(catalog, self.registry.datasets(), self.tables, str(self.root))

    def selected(self, features: Features, catalog: Catalog) -> tuple[Catalog, Selection]:
        """What of a serving catalog the features name, and the catalog with the versions that they ask for."""
        named = named_features(features)
        found = with_versions(catalog, asked_versions(named), self.registry.view_versions)
        try:
            return found, select(named, found)
        except UnknownNameError as error:
            from featurestore.materialization.waiting import explained

            if isinstance(named, str) and (named in found.views or named in found.on_demand):
                message = f"'{named}' is a view, not a service; write '{named}:*' for all of its features."
                raise InputError(message) from error
            raise explained(error, named, self.catalog(), self.waiting) from error

    @cached_property
    def datasets(self) -> Datasets:
        """The saved training sets."""
        from featurestore.datasets import Datasets

        return Datasets(
            self.root, self._offline_path, self.registry, self.tables, self.retrieve, self.actor, self.now_us
        )

    @cached_property
    def models(self) -> Models:
        """The recorded models."""
        from featurestore.models import Models

        return Models(self.root, self.registry, self.datasets, self.pins, self.actor, self.now_us)

    def _from_source(self, pin: ViewPin) -> ViewInput:
        return ViewInput(self._materializer.rows_from_source(pin.record, pin.snapshot), pin.watermark_us)


def named_features(features: Features) -> str | tuple[str, ...]:
    match features:
        case FeatureService(name=name) | str(name):
            return name
        case _ if isinstance(features, Iterable):
            return tuple(features)
    raise InputError(
        f"The features are a {type(features).__name__}; name a service, or list references 'view:feature'."
    )
