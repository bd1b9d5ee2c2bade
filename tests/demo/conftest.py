"""The example project with its own declarations, on its first days."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from demo.sources import write_sources
from featurestore import FeatureStore

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    """The example project, its flights cut to January 1 to 3, materialized up to January 3 at least."""
    root = tmp_path_factory.mktemp("flights")
    shutil.copy(REPOSITORY / "featurestore.toml", root)
    shutil.copytree(REPOSITORY / "feature_defs", root / "feature_defs", ignore=shutil.ignore_patterns("__pycache__"))
    sources = root / "data" / "sources"
    write_sources(sources)
    for name in ("flights", "landings"):
        file = sources / f"{name}.parquet"
        pl.read_parquet(file).filter(pl.col("sched_dep") < datetime(2013, 1, 4, tzinfo=UTC)).write_parquet(file)
    with FeatureStore(root) as store:
        store.apply()
        store.materialize(datetime(2013, 1, 3, tzinfo=UTC))
        yield store


@pytest.fixture(scope="session")
def flights(store: FeatureStore) -> pl.DataFrame:
    return pl.read_parquet(store.root / "data" / "sources" / "flights.parquet")
