"""Opening the registry that a configuration names."""

from __future__ import annotations

from pathlib import Path

from featurestore.errors import ConfigurationError
from featurestore.registry.base import Registry
from featurestore.timeline import Clock


def open_registry(url: str, root: Path, now_us: Clock) -> Registry:
    """The registry at `sqlite:///relative/path` below the project's root; other databases are refused."""
    scheme, _, path = url.partition("://")
    if scheme != "sqlite" or not path.strip("/"):
        raise ConfigurationError(
            f"registry.url '{url}' is not supported: write sqlite:///data/registry.db (PostgreSQL is not built yet)."
        )
    from featurestore.registry.sql import SqlRegistry

    return SqlRegistry(root / path.removeprefix("/"), now_us)
