"""What the sources still hold of an entity: they belong to others, and would bring it back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.engines.base import OfflineEngine
from featurestore.errors import FeatureStoreError
from featurestore.plan.catalog import FramePlace, SourceRecord, SqlPlace, ViewPlace, ViewRecord
from featurestore.plan.views import scan_of
from featurestore.upkeep.matching import Entity, is_entity
from featurestore.upkeep.report import Held


@dataclass(frozen=True, slots=True)
class SourceLooker:
    """Counts rows of an entity in sources; relative paths start at `root`."""

    root: str
    engine: OfflineEngine

    def held(self, entity: Entity, views: Iterable[ViewRecord]) -> Iterator[Held]:
        """Each source of the views that holds the entity, or may hold it and cannot be read."""
        sources = {(source.name, _place(source)): source for view in views for source in _tables(view.source)}
        for (name, place), source in sources.items():
            try:
                rows = self._count(source, entity)
            except FeatureStoreError as error:
                yield Held("source", place, None, f"source '{name}' cannot be read: {error}")
                continue
            if rows:
                why = (
                    f"source '{name}' is not ours: remove them there, or materializing their interval brings them back"
                )
                yield Held("source", place, rows, why)

    def _count(self, source: SourceRecord, entity: Entity) -> int:
        scan = scan_of(source, self.root)
        names = [name for name, _ in self.engine.columns(scan)]
        if not set(entity) <= set(names):
            return 0
        columns = ", ".join('"' + name.replace('"', '""') + '"' for name in entity)
        rows = 0
        with self.engine.query(f'SELECT {columns} FROM "{scan.name}"', (scan,)) as reader:
            for batch in reader:
                found = is_entity({name: batch.column(name) for name in entity}, entity)
                rows += pc.sum(found.cast(pa.int64())).as_py() or 0
        return rows


def _tables(source: SourceRecord) -> Iterator[SourceRecord]:
    """The tables that a source reads in the end."""
    match source.place:
        case SqlPlace(inputs=inputs):
            for part in inputs:
                yield from _tables(part)
        case ViewPlace(view=view):
            yield from _tables(view.source)
        case _:
            yield source


def _place(source: SourceRecord) -> str:
    if isinstance(source.place, FramePlace):
        return "the definitions: literal rows"
    return str(getattr(source.place, "path", source.name))
