"""Making a dataset again from what was recorded: the same bytes, or what stands in the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from featurestore.dataset import Dataset, Manifest, file_digest
from featurestore.datasets.comparison import ColumnDifference, compare_in_place
from featurestore.datasets.making import changed_engine, copied, divided_again


@dataclass(frozen=True, slots=True)
class Rebuild:
    """What became of making a dataset again.

    `identical`: the bytes are those that were saved. `obstacles`: why it could not be made at all. `changes`: what is
    not as it was when it was saved. `columns`: where cells differ from the saved file, when that is intact. `restored`:
    the saved file was lost or altered and is whole again. `path`: where the rows were written, when that was asked for.
    """

    dataset: str
    identical: bool
    obstacles: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    rows: int | None = None
    columns: tuple[ColumnDifference, ...] = ()
    restored: bool = False
    path: str | None = None


def erased_since(manifest: Manifest) -> tuple[str, ...]:
    """What an erasure did to a dataset."""
    return (f"{manifest.erased_rows} rows were erased from it",) if manifest.erased_rows else ()


def judge(dataset: Dataset, made: Path, rows: int) -> Rebuild:
    """What is to be said of a file that was made again; restores the saved one when it is lost and the bytes agree."""
    manifest = dataset.manifest
    changes = [*erased_since(manifest), *changed_engine(manifest.engine)]
    if divided_again(manifest, made) != manifest.division:
        changes.append("its split puts rows into other parts")
    saved = file_digest(dataset.path) if dataset.path.is_file() else None
    whole = saved == manifest.sha256
    if not whole:
        told = "is missing" if saved is None else f"was altered: its SHA-256 is {saved}"
        changes.append(f"the saved file {dataset.record.path} {told}")
    answer = Rebuild(dataset.reference, file_digest(made) == manifest.sha256, changes=tuple(changes), rows=rows)
    if answer.identical:
        if not whole:
            copied(made, dataset.path)
        return replace(answer, restored=not whole)
    if manifest.from_source:
        changes.append("it was computed from sources, of which no versions are kept")
    if not whole:
        return replace(answer, changes=(*changes, "so its cells cannot be compared"))
    if rows != dataset.rows:
        changes.append(f"it had {dataset.rows} rows and has {rows}")
    columns = compare_in_place(dataset.path, made)
    if not columns and rows == dataset.rows:
        changes.append("no cell differs, only how the file is written")
    return replace(answer, changes=tuple(changes), columns=columns)
