"""How the data of a pipeline is now: the tables of its views and the files of its labels, looked at cheaply.

A table whose newest version was seen before is not opened again: its state stands in the ledger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from featurestore.plan.catalog import Catalog
from featurestore.plan.views import table_name
from featurestore.store import FeatureStore
from pipelines.ledger import Ledger
from pipelines.ledger.triggers import TableState, read_table, set_table
from pipelines.triggers.plans import TriggerPlan


@dataclass(frozen=True, slots=True)
class DataState:
    """The tables of those views that have committed something; `digest` changes with any commit and with `labels`.

    `labels` is the digest of what labels come from. `missing` says of each other view why there is nothing to learn
    from.
    """

    views: Mapping[str, TableState]
    digest: str
    labels: str
    missing: tuple[str, ...]


def data_state(store: FeatureStore, ledger: Ledger, plan: TriggerPlan, catalog: Catalog) -> DataState:
    """How the data of a pipeline is now."""
    views: dict[str, TableState] = {}
    missing = []
    for name in plan.views:
        if name not in catalog.views:
            missing.append(f"view '{name}' does not serve yet; run featurestore apply")
        elif (state := table_state(store, ledger, table_name(catalog.views[name]))) is None:
            missing.append(f"view '{name}' has committed nothing yet")
        else:
            views[name] = state
    read = [catalog.views[name] for name in plan.label_views if name in catalog.views]
    labels = digest_of(
        [list(_label_files(store.root, path)) for path in plan.labels],
        [(table, newest_version(_place(store, table))) for table in map(table_name, read)],
    )
    digest = digest_of([(name, state.table, state.version) for name, state in views.items()], labels)
    return DataState(views, digest, labels, tuple(missing))


def digest_of(*parts: object) -> str:
    """The digest of what JSON can say."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def table_state(store: FeatureStore, ledger: Ledger, table: str) -> TableState | None:
    """The newest version of an offline table; None when nothing was ever committed."""
    version = newest_version(_place(store, table))
    if version is None:
        return None
    with ledger.reading() as connection:
        known = None if connection is None else read_table(connection, table)
    if known is not None and known.version == version:
        return known
    snapshot = store.tables.snapshot(table)
    if snapshot is None:
        return None
    state = TableState(table=table, version=snapshot.version, rows=snapshot.rows, watermark_us=snapshot.watermark_us)
    with ledger.writing() as connection:
        set_table(connection, state)
    return state


def _place(store: FeatureStore, table: str) -> Path:
    return store.root / store.configuration.offline.path / "views" / table


def newest_version(table: Path) -> int | None:
    """The newest version in a Delta table's log, from the names of its files; None when there is none."""
    log = table / "_delta_log"
    if not log.is_dir():
        return None
    names = (path.name for path in log.iterdir())
    return max((int(name[:20]) for name in names if name[:20].isdecimal() and name[20:] == ".json"), default=None)


def _label_files(root: Path, path: str) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of change of each file that a path stands for; of a Delta table those of its log."""
    place = root / path
    if (place / "_delta_log").is_dir():
        found = sorted((place / "_delta_log").iterdir())
    elif place.is_dir():
        found = sorted(place.rglob("*"))
    elif place.exists():
        found = [place]
    else:
        found = sorted(root.glob(path)) if not Path(path).is_absolute() else []
    for file in found:
        if file.is_file():
            status = file.stat()
            yield file.name, status.st_size, status.st_mtime_ns
