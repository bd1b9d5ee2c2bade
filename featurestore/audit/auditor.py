"""The audit of a service: every vector in its log recomputed from history, as of the versions it was served from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.comparison import Comparison, compare
from featurestore.audit.history import Cells, column, history_cells, plan_of, served_cells
from featurestore.audit.records import INSTANT, Definitions, FileFacts, LogFiles
from featurestore.audit.report import AuditReport, Cell, Example, FeatureAudit, Lateness, Unauditable
from featurestore.engines.base import OfflineEngine
from featurestore.errors import InputError, VersionGoneError
from featurestore.offline.tables import OfflineTables
from featurestore.plan.on_demand import OnDemandStep

EXAMPLES = 5  # of each feature
_CHUNK_ROWS = 200_000  # in memory at a time

Resolve = Callable[[Iterable[OnDemandStep]], None]


@dataclass(frozen=True, slots=True)
class Auditor:
    """Audits the log in `files`; `resolve` makes the Python functions of request-time features known."""

    files: LogFiles
    tables: OfflineTables
    engine: OfflineEngine
    resolve: Resolve

    def audit(self, service: str, since_us: int | None = None, until_us: int | None = None) -> AuditReport:
        """The comparison of what a service served in [since_us, until_us) with history.

        Vectors whose table versions are gone are counted with the reason, not compared. Raises OfflineStoreError when
        the log or a table cannot be read.
        """
        chosen = [
            (path, facts)
            for path, facts in self.files.files(service)
            if (since_us is None or facts.last_us >= since_us) and (until_us is None or facts.first_us < until_us)
        ]
        found = _Findings()
        for digest, vectors in self._chunks(chosen, since_us, until_us):
            found.vectors += vectors.num_rows
            self._compare(vectors, self.files.definitions(digest), found)
        dropped, erased = (sum(getattr(facts, name) for _, facts in chosen) for name in ("dropped", "erased"))
        return AuditReport(
            service=service,
            since_us=since_us,
            until_us=until_us,
            vectors=found.vectors,
            audited=found.audited,
            dropped=dropped,
            erased=erased,
            features=found.features(),
            unauditable=tuple(Unauditable(rows, reason) for reason, rows in found.unauditable.items()),
            lateness=found.lateness(),
        )

    def _chunks(
        self, chosen: Sequence[tuple[object, FileFacts]], since_us: int | None, until_us: int | None
    ) -> Iterator[tuple[str, pa.Table]]:
        """Vectors served under one set of definitions, some at a time."""
        for digest in dict.fromkeys(facts.definitions for _, facts in chosen):
            waiting: list[pa.Table] = []
            for path, facts in chosen:
                if facts.definitions == digest:
                    waiting.append(_within(self.files.read(path), since_us, until_us))  # type: ignore[arg-type]  # a path
                if sum(table.num_rows for table in waiting) >= _CHUNK_ROWS:
                    yield digest, pa.concat_tables(waiting)
                    waiting = []
            if waiting:
                yield digest, pa.concat_tables(waiting)

    def _compare(self, vectors: pa.Table, definitions: Definitions, found: _Findings) -> None:
        kept: list[pa.Table] = []
        for versions, rows in _by_versions(vectors):
            group = vectors.take(rows)
            try:
                snapshots = {name: self.tables.kept(definitions.tables[name], n) for name, n in versions.items()}
                plan = plan_of(definitions, snapshots)
                self.resolve(plan.on_demand)
            except (VersionGoneError, InputError) as error:  # InputError: a Python function is another one by now
                found.unauditable[str(error)] = found.unauditable.get(str(error), 0) + group.num_rows
                continue
            served = served_cells(group, plan)
            found.add(group, served, history_cells(group, definitions, plan, self.engine))
            kept.append(group)
        if kept:
            self._compare_with_now(pa.concat_tables(kept), definitions, found)

    def _compare_with_now(self, vectors: pa.Table, definitions: Definitions, found: _Findings) -> None:
        """The same records over the newest version of each table."""
        newest = {name: self.tables.snapshot(table) for name, table in definitions.tables.items()}
        plan = plan_of(definitions, {name: snapshot for name, snapshot in newest.items() if snapshot is not None})
        served = served_cells(vectors, plan)
        for name, cells in history_cells(vectors, definitions, plan, self.engine).items():
            found.late.setdefault(name, _Late()).add(compare(served[name], cells, times=False))


def _within(vectors: pa.Table, since_us: int | None, until_us: int | None) -> pa.Table:
    served = vectors.column("served_at")
    if since_us is not None:
        vectors = vectors.filter(pc.greater_equal(served, pa.scalar(since_us, INSTANT)))
        served = vectors.column("served_at")
    return vectors if until_us is None else vectors.filter(pc.less(served, pa.scalar(until_us, INSTANT)))


def _by_versions(vectors: pa.Table) -> Iterator[tuple[dict[str, int], pa.Array]]:
    """The rows for each combination of table versions, by the references of the views."""
    groups: dict[tuple[int, ...], list[int]] = {}
    labels = [member.name for member in vectors.schema.field("table_versions").type]
    columns = [column(vectors, "table_versions", label).to_pylist() for label in labels]
    for row, versions in enumerate(zip(*columns, strict=True)):
        groups.setdefault(versions, []).append(row)
    for versions, rows in groups.items():
        names = (label.partition("(")[0] for label in labels)
        yield dict(zip(names, versions, strict=True)), pa.array(rows, pa.int64())


@dataclass(slots=True)
class _Tally:
    """One feature so far."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("equal", "different", "missing", "extra"), 0))
    max_distance: float | None = None
    examples: list[Example] = field(default_factory=list)

    def add(self, compared: Comparison, vectors: pa.Table, served: Cells, history: Cells) -> None:
        masks = {kind: getattr(compared, kind) for kind in self.counts}
        for kind, mask in masks.items():
            self.counts[kind] += int(mask.sum())
        self.max_distance = _greatest(self.max_distance, compared.distances)
        wrong = np.flatnonzero(~compared.equal)
        by_distance = np.nan_to_num(np.where(compared.different, compared.distances, np.inf)[wrong], nan=-1.0)
        worst = wrong[np.argsort(-by_distance, kind="stable")][:EXAMPLES]
        for row in worst:
            kind = next(kind for kind in ("different", "missing", "extra") if masks[kind][row])
            self.examples.append(_example(vectors, int(row), kind, served, history, compared))
        self.examples = sorted(self.examples, key=lambda example: example.severity, reverse=True)[:EXAMPLES]


@dataclass(slots=True)
class _Late:
    """One feature against the present so far."""

    cells: int = 0
    changed: int = 0
    appeared: int = 0
    vanished: int = 0
    numbers: int = 0
    total: float = 0.0
    greatest: float | None = None

    def add(self, compared: Comparison) -> None:
        self.cells += len(compared.equal)
        self.changed += int(compared.different.sum())
        self.appeared += int(compared.missing.sum())
        self.vanished += int(compared.extra.sum())
        distances = compared.distances[~np.isnan(compared.distances)]
        self.numbers += len(distances)
        self.total += float(distances.sum())
        self.greatest = _greatest(self.greatest, distances)


@dataclass(slots=True)
class _Findings:
    """What was found so far."""

    vectors: int = 0
    audited: int = 0
    tallies: dict[str, _Tally] = field(default_factory=dict)
    late: dict[str, _Late] = field(default_factory=dict)
    unauditable: dict[str, int] = field(default_factory=dict)

    def add(self, vectors: pa.Table, served: Mapping[str, Cells], history: Mapping[str, Cells]) -> None:
        self.audited += vectors.num_rows
        for name, cells in served.items():
            compared = compare(cells, history[name])
            self.tallies.setdefault(name, _Tally()).add(compared, vectors, cells, history[name])

    def features(self) -> tuple[FeatureAudit, ...]:
        found = [
            FeatureAudit(name, **tally.counts, max_distance=tally.max_distance, examples=tuple(tally.examples))
            for name, tally in self.tallies.items()
        ]
        return tuple(sorted(found, key=lambda feature: (-feature.differences, -(feature.max_distance or 0.0))))

    def lateness(self) -> tuple[Lateness, ...]:
        found = [
            Lateness(
                feature=name,
                cells=late.cells,
                changed=late.changed,
                appeared=late.appeared,
                vanished=late.vanished,
                mean_distance=late.total / late.numbers if late.numbers else None,
                max_distance=late.greatest,
            )
            for name, late in self.late.items()
        ]
        return tuple(sorted(found, key=lambda late: (-late.differences, -(late.max_distance or 0.0))))


def _greatest(known: float | None, distances: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
    found = distances[~np.isnan(distances)]
    if not len(found):
        return known
    return float(found.max()) if known is None else max(known, float(found.max()))


def _example(vectors: pa.Table, row: int, kind: str, served: Cells, history: Cells, compared: Comparison) -> Example:
    vector = vectors.slice(row, 1).to_pylist()[0]
    distance = compared.distances[row]
    return Example(
        id=vector["id"],
        row=vector["row"],
        at_us=vectors.column("asked_at")[row].cast(pa.int64()).as_py(),
        entity=vector.get("keys") or {},
        request=vector.get("request") or {},
        kind=kind,
        served=_cell(served, row),
        history=_cell(history, row),
        distance=None if np.isnan(distance) else float(distance),
    )


def _cell(cells: Cells, row: int) -> Cell:
    return Cell(cells.values[row].as_py(), cells.statuses[row].as_py(), cells.times[row].cast(pa.int64()).as_py())
