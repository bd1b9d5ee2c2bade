"""The in-memory DuckDB database of an engine, and the cursors on it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from featurestore.errors import ConfigurationError, FeatureStoreError


class Session:
    """One in-memory database. Each use takes its own cursor, since a half-read result blocks its connection.

    Nothing is downloaded and nothing cached between calls, so a file that is replaced is read anew. What exceeds
    `memory_limit` (DuckDB's text form, such as `2GB`) spills to a directory of its own below `temp_directory`,
    which goes away with `close`.
    """

    def __init__(self, memory_limit: str | None, temp_directory: Path | None, threads: int | None) -> None:
        self._spill = _spill_directory(temp_directory)
        settings: dict[str, str | bool | int | float | list[str]] = {
            "TimeZone": "UTC",
            "temp_directory": str(self._spill),
            "autoinstall_known_extensions": False,
            "enable_external_file_cache": False,
            "python_enable_replacements": False,
            "preserve_insertion_order": True,
            # It turns "the first row of each group" into arg_max over a struct, which makes -0.0 of its columns 0.0.
            "disabled_optimizers": "top_n_window_elimination",
        }
        if memory_limit is not None:
            settings["memory_limit"] = memory_limit
        if threads is not None:
            settings["threads"] = threads
        try:
            self._connection = duckdb.connect(":memory:", config=settings)
        except duckdb.Error as error:
            shutil.rmtree(self._spill, ignore_errors=True)
            raise ConfigurationError(
                f"DuckDB refuses memory_limit {memory_limit!r} or threads {threads!r}: {str(error).splitlines()[0]}"
            ) from error
        self._closed = False

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor with temporary tables and views of its own; they go away with it."""
        if self._closed:
            raise FeatureStoreError("The duckdb engine is closed; open a new one.")
        cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def close(self) -> None:
        """Free the memory and remove the spill directory; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._connection.close()
            shutil.rmtree(self._spill, ignore_errors=True)


def _spill_directory(parent: Path | None) -> Path:
    try:
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="featurestore-duckdb-", dir=parent))
    except OSError as error:
        raise ConfigurationError(
            f"Cannot create a directory for temporary files in '{parent or tempfile.gettempdir()}': {error.strerror}. "
            "Grant the right to write there, or free space; it lies below the folder that [offline] path names."
        ) from error
