"""One SQLite file that several rooms keep tables in: transactions, and errors in one sentence.

Rollback journal with full synchronisation (the WAL of SQLite before 3.51.3 has a race); each write begins IMMEDIATE, so
that writers queue and compare under the lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from featurestore.errors import RegistryError

_BUSY_SECONDS = 30
_commits = [0]


def commits() -> int:
    """How often this process has committed to any database."""
    return _commits[0]


class Database:
    """The file at `path`; made with the first write. Safe for threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = _sqlite_engine(path)

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self, table: str = "revisions") -> Iterator[Connection | None]:
        """A read transaction; None while the file, or that table in it, does not exist yet."""
        if not self.path.exists():
            yield None
            return
        with self._explained(), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            has_tables = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).first()
            yield connection if has_tables else None

    @contextmanager
    def writing(self, metadata: MetaData) -> Iterator[Connection]:
        """A write transaction in which the tables of `metadata` exist; committed when the block ends without error."""
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                metadata.create_all(connection)
                yield connection
                connection.commit()
        _commits[0] += 1

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            if "no such" in str(error.orig):  # a table or column is gone: no matter of rights or locks
                raise self.damaged(error.orig) from error
            raise RegistryError(
                f"The registry {self.path} cannot be used: {error.orig}. Check its rights and free space, and whether "
                "another process holds it."
            ) from error
        except (DatabaseError, msgspec.MsgspecError, json.JSONDecodeError) as error:
            detail = error.orig if isinstance(error, DatabaseError) else error
            raise self.damaged(detail) from error
        except OSError as error:
            raise RegistryError(f"The registry {self.path} cannot be written: {error.strerror}.") from error

    def damaged(self, detail: object) -> RegistryError:
        """The error for content that cannot be what this platform wrote."""
        return RegistryError(
            f"The registry {self.path} is damaged: {detail}. Restore it from a copy, or move it away and apply "
            "again; the offline and online stores are untouched."
        )


def _sqlite_engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def configure(connection: object, _: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]  # sqlite3's own: we begin transactions ourselves
        cursor = connection.cursor()  # type: ignore[attr-defined]  # as above
        cursor.execute("PRAGMA journal_mode = DELETE")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    return engine
