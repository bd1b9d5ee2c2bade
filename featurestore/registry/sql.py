"""The registry on a SQL database, through SQLAlchemy; SQLite now."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic_ns

import msgspec
from sqlalchemy import Connection, Engine, create_engine, delete, event, func, insert, select
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlalchemy.pool import NullPool

from featurestore.errors import ConflictError, RegistryError
from featurestore.plan.catalog import Catalog, Object, decode, encode
from featurestore.plan.fingerprint import meaning
from featurestore.registry import tables
from featurestore.registry.base import DatasetRecord, Revision
from featurestore.registry.diff import CatalogDiff, Change
from featurestore.timeline import Clock

_BUSY_SECONDS = 30
_TOKEN_HOLDS_NS = 10_000_000
_applies = [0]  # how often this process has applied, to any registry


class SqlRegistry:
    """The registry in one SQLite file; `now_us` is the clock of its records.

    Rollback journal with full synchronisation (the WAL of SQLite before 3.51.3 has a race); each write begins
    IMMEDIATE, so that appliers queue and compare under the lock.
    """

    def __init__(self, path: Path, now_us: Clock) -> None:
        self._path = path
        self._file = str(path)
        self._token: object = None
        self._token_until = 0
        self._token_applies = -1
        self._now_us = now_us
        self._engine = _sqlite_engine(path)

    def revision(self) -> int:
        """The number of the newest revision; 0 before the first apply."""
        with self._reading() as connection:
            return _newest(connection) if connection else 0

    def token(self) -> object:
        """The database file's time of change and identity; a commit with rollback journal always touches it.

        Asked of the file anew after an apply in this process, else at most every 10 ms: a lookup asks each time.
        """
        now = monotonic_ns()
        if now >= self._token_until or self._token_applies != _applies[0]:
            self._token_applies = _applies[0]
            self._token = _file_token(self._file)
            self._token_until = now + _TOKEN_HOLDS_NS
        return self._token

    def catalog(self) -> tuple[int, Catalog]:
        """The newest revision's number and what is applied, read in one transaction."""
        with self._reading() as connection:
            if connection is None:
                return 0, Catalog()
            return _newest(connection), self._read_catalog(connection)

    def apply(self, diff: CatalogDiff, applied_by: str) -> int:
        """Apply a diff in one transaction; ConflictError when the newest revision is not the diff's base."""
        with self._writing() as connection:
            newest = _newest(connection)
            if newest != diff.base:
                raise ConflictError(
                    f"The plan was made on revision {diff.base}, but revision {newest} is applied now. Plan again and "
                    "look at what changed."
                )
            number = newest + 1
            connection.execute(
                insert(tables.revisions).values(
                    number=number,
                    applied_at_us=self._now_us(),
                    applied_by=applied_by,
                    summary=json.dumps([summary_line(change) for change in diff.changes]),
                    versions=json.dumps(diff.target.versions, sort_keys=True),
                )
            )
            _write_objects(connection, number, diff)
        _applies[0] += 1
        return number

    def history(self) -> tuple[Revision, ...]:
        """All revisions, newest first."""
        with self._reading() as connection:
            if connection is None:
                return ()
            rows = connection.execute(select(tables.revisions).order_by(tables.revisions.c.number.desc()))
            return tuple(
                Revision(row.number, row.applied_at_us, row.applied_by, tuple(json.loads(row.summary))) for row in rows
            )

    def add_dataset(self, dataset: DatasetRecord) -> DatasetRecord:
        """Record a dataset under its version, which must be the next of its name; else ConflictError."""
        with self._writing() as connection:
            try:
                connection.execute(
                    insert(tables.datasets).values(
                        name=dataset.name,
                        version=dataset.version,
                        saved_at_us=dataset.saved_at_us,
                        saved_by=dataset.saved_by,
                        path=dataset.path,
                        rows=dataset.rows,
                        manifest=json.dumps(dataset.manifest, sort_keys=True),
                    )
                )
            except IntegrityError as error:
                raise ConflictError(
                    f"Dataset '{dataset.name}' version {dataset.version} was saved by somebody else; save again."
                ) from error
        return dataset

    def datasets(self, name: str | None = None) -> tuple[DatasetRecord, ...]:
        """All datasets, or all versions of one, newest first."""
        with self._reading() as connection:
            if connection is None:
                return ()
            columns = tables.datasets.c
            query = select(tables.datasets).order_by(columns.saved_at_us.desc(), columns.version.desc())
            rows = connection.execute(query if name is None else query.where(columns.name == name))
            return tuple(
                DatasetRecord(
                    row.name, row.version, row.saved_at_us, row.saved_by, row.path, row.rows, json.loads(row.manifest)
                )
                for row in rows
            )

    def close(self) -> None:
        """Release the connection."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection | None]:
        if not self._path.exists():
            yield None
            return
        with self._explained(), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            has_tables = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'revisions'").first()
            yield connection if has_tables else None

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._explained():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                tables.metadata.create_all(connection)
                yield connection
                connection.commit()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            if "no such" in str(error.orig):  # a table or column is gone: no matter of rights or locks
                raise self._damaged(error.orig) from error
            raise RegistryError(
                f"The registry {self._path} cannot be used: {error.orig}. Check its rights and free space, and whether "
                "another process holds it."
            ) from error
        except (DatabaseError, msgspec.MsgspecError, json.JSONDecodeError) as error:
            detail = error.orig if isinstance(error, DatabaseError) else error
            raise self._damaged(detail) from error
        except OSError as error:
            raise RegistryError(f"The registry {self._path} cannot be written: {error.strerror}.") from error

    def _damaged(self, detail: object) -> RegistryError:
        return RegistryError(
            f"The registry {self._path} is damaged: {detail}. Restore it from a copy, or move it away and apply "
            "again; the offline and online stores are untouched."
        )

    def _read_catalog(self, connection: Connection) -> Catalog:
        live, objects = tables.live, tables.objects
        rows = connection.execute(
            select(objects.c.kind, objects.c.name, objects.c.document)
            .join(
                live,
                (live.c.kind == objects.c.kind)
                & (live.c.name == objects.c.name)
                & (live.c.revision == objects.c.revision),
            )
            .order_by(live.c.position)
        )
        records: dict[tuple[str, str], Object] = {
            (row.kind, row.name): decode(row.kind, bytes(row.document)) for row in rows
        }
        newest = select(tables.revisions.c.versions).order_by(tables.revisions.c.number.desc()).limit(1)
        versions = connection.execute(newest).scalar()
        catalog = Catalog.of(records, json.loads(versions) if versions else {})
        if lost := catalog.lost():
            raise self._damaged(f"it holds services that name a view '{lost[0]}', and no such view")
        return catalog


def _file_token(file: str) -> object:
    try:
        state = os.stat(file)  # noqa: PTH116 -- pathlib's takes three times as long, on every lookup
    except OSError:
        return None
    return state.st_mtime_ns, state.st_ino


def summary_line(change: Change) -> str:
    """A change in one line: `view origin_weather v2 changed: ttl`."""
    version = f" v{change.version}" if change.version else ""
    details = f": {', '.join(change.details)}" if change.details else ""
    return f"{change.kind} {change.name}{version} {change.action}{details}"


def _newest(connection: Connection) -> int:
    newest: int | None = connection.execute(select(func.max(tables.revisions.c.number))).scalar()
    return newest or 0


def _write_objects(connection: Connection, number: int, diff: CatalogDiff) -> None:
    target = diff.target.objects()
    changed = {(change.kind, change.name) for change in diff.changes}
    for kind, name in changed & set(target):
        record = target[kind, name]
        connection.execute(
            insert(tables.objects).values(
                kind=kind, name=name, revision=number, meaning=meaning(record), document=encode(record)
            )
        )
    known = {(row.kind, row.name): row.revision for row in connection.execute(select(tables.live))}
    connection.execute(delete(tables.live))
    for position, (kind, name) in enumerate(target):
        revision = number if (kind, name) in changed else known[kind, name]
        connection.execute(insert(tables.live).values(kind=kind, name=name, revision=revision, position=position))


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
