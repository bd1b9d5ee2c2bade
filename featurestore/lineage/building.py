"""The lineage of a project: what is applied, the versions that others pin or learned from, datasets and models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from featurestore.dataset import Dataset
from featurestore.lineage.columns import SourceColumns
from featurestore.lineage.draft import Draft
from featurestore.lineage.features import add_on_demand, add_service
from featurestore.lineage.graph import Kind, Lineage, Node
from featurestore.lineage.sources import Tables, Versions
from featurestore.lineage.training import Recorded, Trained
from featurestore.plan.catalog import Catalog, reference
from featurestore.registry.base import DatasetRecord, ModelRecord, Registry


@dataclass(frozen=True, slots=True)
class Known:
    """What a lineage is made of; `recorded` and `since` as in `Trained`, datasets and models newest first."""

    root: Path
    catalog: Catalog
    versions: Versions
    datasets: Sequence[DatasetRecord]
    models: Sequence[ModelRecord]
    recorded: Recorded
    since: Mapping[tuple[str, str], int]

    @staticmethod
    def of(registry: Registry, root: Path) -> Known:
        """What a registry knows."""
        state = registry.state()
        return Known(
            root=root,
            catalog=state.applied,
            versions={(found.view, found.version): found.record for found in registry.view_versions()},
            datasets=registry.datasets(),
            models=registry.models(),
            recorded=registry.recorded,
            since=state.since,
        )


def build_lineage(known: Known, columns: SourceColumns) -> Lineage:
    """The whole graph; what cannot be read or told stands in its notes."""
    draft = Draft()
    catalog = known.catalog
    tables = Tables(draft, catalog, known.versions, columns)
    for source in catalog.sources.values():
        tables.source(source)
    for view in (*catalog.views, *catalog.pinned):
        tables.referred(view)
    for record in catalog.on_demand.values():
        add_on_demand(draft, record, tables)
    for service in catalog.services.values():
        add_service(draft, service, tables)
    datasets = [Dataset(known.root, dataset) for dataset in known.datasets]
    trained = Trained(draft, tables, datasets, known.recorded, known.since)
    for dataset in reversed(datasets):
        trained.dataset(dataset)
    for model in reversed(known.models):
        trained.add_model(model)
    draft.notes += columns.notes
    return draft.finished(_aliases(draft, known))


def _aliases(draft: Draft, known: Known) -> dict[str, tuple[Node, ...]]:
    """Other names: of applied views with their version, of the newest datasets and models without, of entities."""
    found: dict[str, tuple[Node, ...]] = {}
    for entity in known.catalog.entities.values():
        views = [view for view in known.catalog.views.values() if entity.name in view.entities]
        found[entity.name] = tuple(draft.node("view", v.name, key) for v in views for key, _ in entity.join_keys)
    for view, version in known.catalog.versions.items():
        found[reference(view, version)] = draft.nodes_of("view", view)
    kinds: tuple[tuple[Kind, Iterable[DatasetRecord | ModelRecord]], ...] = (
        ("dataset", known.datasets),
        ("model", known.models),
    )
    for kind, records in kinds:
        for newest in {record.name: record for record in reversed(list(records))}.values():
            found[newest.name] = draft.nodes_of(kind, f"{newest.name}@{newest.version}")
    return found
