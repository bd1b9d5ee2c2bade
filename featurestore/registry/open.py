"""Opening the registry that a configuration names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.errors import ConfigurationError
from featurestore.registry.base import Registry
from featurestore.timeline import Clock
from featurestore.urls import without_secrets

if TYPE_CHECKING:
    from featurestore.registry.database import Database


def open_registry(url: str, root: Path, now_us: Clock) -> Registry:
    """The registry in the database at `url` (`open_database`)."""
    from featurestore.registry.sql import SqlRegistry

    return SqlRegistry(open_database(url, root), now_us)


def open_database(url: str, root: Path) -> Database:
    """The database at `sqlite:///relative/path` below the project's root; others are refused."""
    scheme, _, path = url.partition("://")
    if scheme != "sqlite" or not path.strip("/"):
        raise ConfigurationError(
            f"registry.url '{without_secrets(url)}' is not supported: write sqlite:///data/registry.db (PostgreSQL is "
            "not built yet)."
        )
    from featurestore.registry.database import Database

    return Database(root / path.removeprefix("/"))
