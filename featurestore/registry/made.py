"""What was made of features, in the registry's tables: datasets and models, each under the next version of its name."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from sqlalchemy import Connection, Table, func, insert, select, update

from featurestore.registry import tables
from featurestore.registry.base import DatasetRecord, ModelRecord


def insert_dataset(connection: Connection, dataset: DatasetRecord) -> DatasetRecord:
    """Record a dataset and return it with its version."""
    given = replace(dataset, version=_next_version(connection, tables.datasets, dataset.name))
    row = {**asdict(given), "manifest": json.dumps(given.manifest, sort_keys=True)}
    connection.execute(insert(tables.datasets).values(row))
    return given


def update_dataset(connection: Connection, dataset: DatasetRecord) -> None:
    """Put a dataset's record in the place of that of its name and version."""
    columns = tables.datasets.c
    row = {**asdict(dataset), "manifest": json.dumps(dataset.manifest, sort_keys=True)}
    this = (columns.name == dataset.name) & (columns.version == dataset.version)
    connection.execute(update(tables.datasets).where(this).values(row))


def read_datasets(connection: Connection, name: str | None) -> tuple[DatasetRecord, ...]:
    """All datasets, or all versions of one, newest first."""
    columns = tables.datasets.c
    query = select(tables.datasets).order_by(columns.saved_at_us.desc(), columns.version.desc())
    rows = connection.execute(query if name is None else query.where(columns.name == name)).mappings()
    return tuple(DatasetRecord(**{**row, "manifest": json.loads(row["manifest"])}) for row in rows)


def insert_model(connection: Connection, model: ModelRecord) -> ModelRecord:
    """Record a model and return it with its version."""
    given = replace(model, version=_next_version(connection, tables.models, model.name))
    row = {**asdict(given), "views": json.dumps(given.views, sort_keys=True)}
    connection.execute(insert(tables.models).values(row))
    return given


def read_models(connection: Connection, name: str | None) -> tuple[ModelRecord, ...]:
    """All models, or all versions of one, newest first."""
    columns = tables.models.c
    query = select(tables.models).order_by(columns.recorded_at_us.desc(), columns.version.desc())
    rows = connection.execute(query if name is None else query.where(columns.name == name)).mappings()
    return tuple(ModelRecord(**{**row, "views": json.loads(row["views"])}) for row in rows)


def _next_version(connection: Connection, table: Table, name: str) -> int:
    newest: int | None = connection.execute(select(func.max(table.c.version)).where(table.c.name == name)).scalar()
    return 1 + (newest or 0)
