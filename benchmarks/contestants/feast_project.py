"""Feast's side: its projects, made with its own API. Runs under the interpreter that has Feast."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import pandas as pd

os.environ["FEAST_USAGE"] = "False"

import feast  # type: ignore[import-not-found]  # Feast lives in an environment of its own
from feast.types import Float64, Int64  # type: ignore[import-not-found]
from feast.value_type import ValueType  # type: ignore[import-not-found]

FEATURES = tuple(f"f{i}" for i in range(10))
ONLINE_VIEWS = ("account", "device", "payment")
_CONFIGURATION = """\
project: benchmark
provider: local
registry: registry.db
offline_store: {{type: duckdb}}
online_store: {online}
entity_key_serialization_version: 3
"""
_SQLITE = "{type: sqlite, path: online.db}"


def open_store(folder: Path) -> feast.FeatureStore:
    """The project in a folder."""
    return feast.FeatureStore(repo_path=str(folder))


def apply_history(folder: Path, stored: Path, online: str) -> None:
    """A project whose one view reads the Parquet files of our offline table."""
    source = feast.FileSource(
        path=f"{stored}/*.parquet", timestamp_field="__event_timestamp", created_timestamp_column="__created_timestamp"
    )
    _made(folder, online).apply([_ENTITY, _view("profile", FEATURES, source)])


def apply_online(folder: Path, inputs: Path, online: str) -> None:
    """A project with the online views, and their rows in its online store."""
    store = _made(folder, online)
    views = []
    for name in ONLINE_VIEWS:
        source = feast.FileSource(path=str(inputs / f"{name}.parquet"), timestamp_field="event_timestamp")
        views.append(_view(name, tuple(f"{name}_{feature}" for feature in FEATURES), source))
    store.apply([_ENTITY, *views])
    for name in ONLINE_VIEWS:
        store.write_to_online_store(name, pd.read_parquet(inputs / f"{name}.parquet"))


def _made(folder: Path, online: str) -> feast.FeatureStore:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "feature_store.yaml").write_text(_CONFIGURATION.format(online=online), encoding="utf-8")
    return open_store(folder)


_ENTITY = feast.Entity(name="customer", join_keys=["key"], value_type=ValueType.INT64)


def _view(name: str, features: tuple[str, ...], source: feast.FileSource) -> feast.FeatureView:
    fields = [feast.Field(name="key", dtype=Int64), *(feast.Field(name=name, dtype=Float64) for name in features)]
    return feast.FeatureView(name=name, entities=[_ENTITY], schema=fields, source=source, ttl=timedelta(0))


def main() -> None:
    """Arguments: `history` or `online`, folder, where the data lies, and Redis' address unless it is SQLite."""
    what, folder, data, *redis = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:]
    online = f'{{type: redis, connection_string: "{redis[0]}"}}' if redis else _SQLITE
    if what == "history":
        apply_history(folder, data, online)
    else:
        apply_online(folder, data, online)


if __name__ == "__main__":
    main()
