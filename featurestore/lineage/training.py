"""Datasets and models in the graph: each from the versions that it was made of, not from what is applied now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from featurestore.dataset import Dataset, KeptSpine, Manifest
from featurestore.engines.base import STATUS_SUFFIX
from featurestore.errors import FeatureStoreError
from featurestore.lineage.draft import Draft, Table
from featurestore.lineage.features import feature_inputs, input_nodes
from featurestore.lineage.graph import Node
from featurestore.lineage.sources import Tables, add_query
from featurestore.lineage.sql import query_lineage
from featurestore.plan.catalog import Object, OnDemandMember, OnDemandRecord, Projected, ServiceRecord, projections
from featurestore.plan.fingerprint import meaning
from featurestore.plan.selection import Selection, view_members
from featurestore.registry.base import ModelRecord
from featurestore.sql import tables_of

Recorded = Callable[[str, str, str], Object | None]  # `Registry.recorded`


@dataclass(frozen=True, slots=True)
class Trained:
    """Puts datasets and models into a draft.

    `recorded` finds what is no longer applied, `since` is the revision in which each applied object's meaning came.
    What is as it was then leads through the service and the on-demand view; what is not, straight to the versions of
    views that were read.
    """

    draft: Draft
    tables: Tables
    datasets: Sequence[Dataset]
    recorded: Recorded
    since: Mapping[tuple[str, str], int]
    _done: dict[str, Table] = field(default_factory=dict)  # by reference

    def dataset(self, dataset: Dataset) -> Table:
        """A dataset, with the columns of its file, or those that its manifest names."""
        if dataset.reference in self._done:
            return self._done[dataset.reference]
        made = dataset.manifest
        added = [*made.outputs, *(f"{name}{STATUS_SUFFIX}" for name in made.outputs if made.statuses)]
        try:
            columns = tuple(name for name, _ in dataset.columns())
        except FeatureStoreError as error:
            self.draft.notes.append(f"{error} Until then only the columns that its manifest names are known.")
            columns = (*made.keys, made.timestamp, *added)
        table = self._done[dataset.reference] = Table(self.draft, "dataset", dataset.reference, columns)
        for column in columns:
            table.column(column)
        self._add_spine(dataset, table, tuple(column for column in columns if column not in added))
        if made.service is not None:
            self.draft.edge(self.draft.node("service", made.service), table.rows, "named")
        for name, source in self._outputs(made):
            for column in (name, name + STATUS_SUFFIX):
                if column in columns:
                    self.draft.edge(table.rows, table.column(column), "rows")
                    self.draft.edge(source, table.column(column), "value")
        return table

    def add_model(self, model: ModelRecord) -> None:
        """Put a model into the draft."""
        node = self.draft.node("model", f"{model.name}@{model.version}")
        if model.dataset is not None:
            reference = f"{model.dataset}@{model.dataset_version}"
            learned = self._done.get(reference) or Table(self.draft, "dataset", reference, ())
            self.draft.edge(learned.rows, node, "rows")
            for column in learned.columns:
                self.draft.edge(learned.column(column), node, "value")
        elif model.service is not None:
            self.draft.edge(self.draft.node("service", model.service), node, "named")
            for source in self._learned(model, model.service):
                self.draft.edge(source, node, "value")

    # what a dataset's features come from

    def _outputs(self, made: Manifest) -> Iterator[tuple[str, Node]]:
        """Each feature of a dataset, and a node that it comes from."""
        versions = {reference: view.version for reference, view in made.views.items()}
        through = made.service if self._is_as_made(made, versions) else None
        for member in made.members:
            for name, sources in self._member(member, made, versions):
                for source in [self.draft.node("service", through, name)] if through else sources:
                    yield name, source

    def _member(
        self, member: Projected | OnDemandMember, made: Manifest, versions: Mapping[str, int]
    ) -> Iterator[tuple[str, list[Node]]]:
        if isinstance(member, Projected):
            view = self.tables.view(member.view, versions.get(member.reference, member.version))
            for feature in member.features:
                yield member.output_name(feature), [view.column(feature)]
            return
        digest = made.on_demand.get(member.view, "")
        applied = self.tables.catalog.on_demand.get(member.view)
        if applied is not None and meaning(applied) == digest and self._reads(applied, versions):
            for feature in member.features or [name for name, _ in applied.features]:
                yield feature, [self.draft.node("on_demand", member.view, feature)]
            return
        record = self.recorded("on_demand", member.view, digest)
        if isinstance(record, OnDemandRecord):
            inputs = input_nodes(self.draft, record, self.tables, versions)
            for feature, names in feature_inputs(record).items():
                if not member.features or feature in member.features:
                    yield feature, [inputs[name] for name in names]

    def _is_as_made(self, made: Manifest, versions: Mapping[str, int]) -> bool:
        """Whether the service that was named is applied in the same meaning, over the same versions."""
        catalog = self.tables.catalog
        service = None if made.service is None else catalog.services.get(made.service)
        if service is None or meaning(service) != made.service_meaning:
            return False
        computed = [catalog.on_demand[m.view] for m in service.members if isinstance(m, OnDemandMember)]
        same = all(meaning(record) == made.on_demand.get(record.name) for record in computed)
        return same and self._reads(service, versions) and all(self._reads(record, versions) for record in computed)

    def _reads(self, record: ServiceRecord | OnDemandRecord, versions: Mapping[str, int]) -> bool:
        """Whether a service or an on-demand view reads those versions of views now."""
        catalog = self.tables.catalog
        return all(versions.get(p.reference) == catalog.version(p.reference) for p in projections(record))

    # spines

    def _add_spine(self, dataset: Dataset, table: Table, columns: tuple[str, ...]) -> None:
        made = dataset.manifest
        for key in (*made.keys, made.timestamp):
            self.draft.edge(table.column(key), table.rows, "time" if key == made.timestamp else "key")
        match made.spine:
            case KeptSpine(read="file", origin=str(origin)):
                for column in columns:
                    self.draft.edge(self.draft.node("file", origin, column), table.column(column), "value")
            case KeptSpine(read="query", origin=str(sql)):
                self._add_query(sql, dataset, table, columns)

    def _add_query(self, sql: str, dataset: Dataset, table: Table, columns: tuple[str, ...]) -> None:
        try:
            reads = {name: read for name in tables_of(sql) if (read := self._queried(name, dataset)) is not None}
            known = {name: [(column, "VARCHAR") for column in read.columns] for name, read in reads.items()}
            found = query_lineage(sql, known, columns)
        except FeatureStoreError as error:
            self.draft.notes.append(f"The spine of dataset {table.name}: {error}")
            return
        add_query(self.draft, found, reads, table)

    def _queried(self, name: str, reader: Dataset) -> Table | None:
        """What a query knows under a name: a view, a source or a dataset, in this order where names collide."""
        catalog, plain = self.tables.catalog, name.casefold()
        for view in catalog.views:
            if view.casefold() == plain:
                return self.tables.view(view)
        for source in catalog.sources.values():
            if plain in (source.name.casefold(), f"{source.name}_source".casefold()):
                return self.tables.source(source)
        for dataset in self.datasets:
            earlier = (
                dataset.version < reader.version if dataset.name == reader.name else _saved_before(dataset, reader)
            )
            plain_names = (dataset.name, f"{dataset.name}_dataset", f"{dataset.name}_v{dataset.version}")
            if earlier and plain in map(str.casefold, plain_names):
                return self.dataset(dataset)
        return None

    # models of services

    def _learned(self, model: ModelRecord, name: str) -> Iterator[Node]:
        """What a model of a service learned from: its features if it is as it was, else all columns of the views."""
        catalog = self.tables.catalog
        service = catalog.services.get(name)
        if service is not None and self.since.get(("service", name), 0) <= model.revision:
            read = view_members(Selection(name, service.members, name), catalog)
            computed = [m.view for m in service.members if isinstance(m, OnDemandMember)]
            if {reference: catalog.version(reference) for reference in read} == dict(model.views) and all(
                self.since.get(("on_demand", view), 0) <= model.revision for view in computed
            ):
                yield from (n for n in self.draft.nodes_of("service", name) if n.column is not None)
                return
        for reference, version in model.views.items():
            yield self.tables.view(reference.partition("@")[0], version).whole


def _saved_before(dataset: Dataset, reader: Dataset) -> bool:
    return dataset.record.saved_at_us <= reader.record.saved_at_us
