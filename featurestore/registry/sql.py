"""The registry on a SQL database, through SQLAlchemy; SQLite now."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from time import monotonic_ns

from sqlalchemy import Connection, delete, insert, select

from featurestore.errors import ConflictError
from featurestore.plan.catalog import Catalog, Object, decode, encode
from featurestore.plan.fingerprint import meaning
from featurestore.registry import made, tables
from featurestore.registry.base import DatasetRecord, ModelRecord, Move, Ready, RegistryState, Revision, ViewVersion
from featurestore.registry.database import Database, commits
from featurestore.registry.diff import CatalogDiff, Change
from featurestore.registry.forms import catalog_of, current_forms, view_versions
from featurestore.registry.moves import (
    Occasion,
    newest_revision,
    read_moves,
    read_state,
    roll_back,
    settle,
    state_number,
)
from featurestore.timeline import Clock

_TOKEN_HOLDS_NS = 10_000_000


class SqlRegistry:
    """The registry in one SQLite file; `now_us` is the clock of its records."""

    def __init__(self, database: Database, now_us: Clock) -> None:
        self._file = str(database.path)
        self._touched: tuple[int, int] | None = None
        self._touched_until = 0
        self._touched_commits = -1
        self._token: object = None
        self._token_of: object = None
        self._now_us = now_us
        self._database = database

    def revision(self) -> int:
        """The number of the newest revision; 0 before the first apply."""
        with self._database.reading() as connection:
            return newest_revision(connection) if connection else 0

    def token(self) -> object:
        """What tells one state of the registry from another, read again only when the database was touched.

        Other rooms write to the same file, and a lookup is not compiled anew for them.
        """
        touched = self.touched()
        if touched != self._token_of:
            with self._database.reading() as connection:
                self._token = None if connection is None else (state_number(connection), touched and touched[1])
            self._token_of = touched
        return self._token

    def touched(self) -> tuple[int, int] | None:
        """The database file's time of change and identity; a commit with rollback journal always touches it.

        Asked of the file anew after a commit of this process, else at most every 10 ms: a lookup asks each time.
        """
        now = monotonic_ns()
        if now >= self._touched_until or self._touched_commits != commits():
            self._touched_commits = commits()
            self._touched = _file_token(self._file)
            self._touched_until = now + _TOKEN_HOLDS_NS
        return self._touched

    def catalog(self) -> tuple[int, Catalog]:
        """The newest revision's number and what is applied, read in one transaction."""
        with self._database.reading() as connection:
            if connection is None:
                return 0, Catalog()
            return newest_revision(connection), self._applied(connection)

    def serving(self) -> tuple[int, Catalog]:
        """The newest revision's number and what serves, read in one transaction."""
        with self._database.reading() as connection:
            if connection is None:
                return 0, Catalog()
            catalog = catalog_of(connection, current_forms(connection, tables.serving))
            return newest_revision(connection), self._whole(catalog)

    def state(self) -> RegistryState:
        """What is applied and what serves, read in one transaction."""
        with self._database.reading() as connection:
            if connection is None:
                return RegistryState((0, 0), Catalog(), Catalog(), frozenset(), {})
            return read_state(connection, self._applied(connection))

    def apply(self, diff: CatalogDiff, applied_by: str, ready: Ready) -> int:
        """Apply a diff in one transaction and let serve what may; ConflictError when something else came before."""
        with self._database.writing(tables.metadata) as connection:
            newest = newest_revision(connection)
            if newest != diff.base:
                raise ConflictError(
                    f"The plan was made on revision {diff.base}, but revision {newest} is applied now. Plan again and "
                    "look at what changed."
                )
            before, number = state_number(connection), newest + 1
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
            state = read_state(connection, self._applied(connection))
            anew = {c.name for c in diff.changes if c.kind == "view" and c.action in ("added", "changed")}
            state = replace(state, number=before, held=state.held - anew)
            settle(connection, state, ready, self._occasion(applied_by, f"revision {number} was applied"))
        return number

    def switch(self, ready: Ready, actor: str, reason: str, alone: str | None = None) -> tuple[Move, ...]:
        """Let serve as applied, in one transaction, whatever may; what moved."""
        with self._database.writing(tables.metadata) as connection:
            state = read_state(connection, self._applied(connection))
            if alone is not None:
                since = {key: revision for key, revision in state.since.items() if key != ("view", alone)}
                state = replace(state, held=state.held - {alone}, since=since)
            return settle(connection, state, ready, self._occasion(actor, reason))

    def roll_back(self, version: ViewVersion, actor: str, reason: str) -> tuple[Move, ...]:
        """Let an earlier version of a view serve and hold it there; what moved."""
        with self._database.writing(tables.metadata) as connection:
            state = read_state(connection, self._applied(connection))
            return roll_back(connection, state, version, self._occasion(actor, reason))

    def moves(self, view: str | None = None) -> tuple[Move, ...]:
        """The whole log of what served, or of one view, newest first."""
        with self._database.reading() as connection:
            return () if connection is None else read_moves(connection, view)

    def view_versions(self, view: str | None = None) -> tuple[ViewVersion, ...]:
        """Every version that views had, or those of one view; newest first."""
        with self._database.reading() as connection:
            return () if connection is None else view_versions(connection, view)

    def history(self) -> tuple[Revision, ...]:
        """All revisions, newest first."""
        with self._database.reading() as connection:
            if connection is None:
                return ()
            rows = connection.execute(select(tables.revisions).order_by(tables.revisions.c.number.desc()))
            return tuple(
                Revision(row.number, row.applied_at_us, row.applied_by, tuple(json.loads(row.summary))) for row in rows
            )

    def recorded(self, kind: str, name: str, meaning: str) -> Object | None:
        """The newest form that an object ever had with that meaning, live or not; None when it never had it."""
        columns = tables.objects.c
        query = (
            select(columns.document)
            .where(columns.kind == kind, columns.name == name, columns.meaning == meaning)
            .order_by(columns.revision.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            document = None if connection is None else connection.execute(query).scalar()
            return None if document is None else decode(kind, bytes(document))

    def add_dataset(self, dataset: DatasetRecord) -> DatasetRecord:
        """Record a dataset under the next version of its name, and return it with that version."""
        with self._database.writing(tables.metadata) as connection:
            return made.insert_dataset(connection, dataset)

    def datasets(self, name: str | None = None) -> tuple[DatasetRecord, ...]:
        """All datasets, or all versions of one, newest first."""
        with self._database.reading() as connection:
            return () if connection is None else made.read_datasets(connection, name)

    def change_dataset(self, dataset: DatasetRecord) -> None:
        """Put a dataset's record in the place of that of its name and version."""
        with self._database.writing(tables.metadata) as connection:
            made.update_dataset(connection, dataset)

    def add_model(self, model: ModelRecord) -> ModelRecord:
        """Record a model under the next version of its name, and return it with that version."""
        with self._database.writing(tables.metadata) as connection:
            return made.insert_model(connection, model)

    def models(self, name: str | None = None) -> tuple[ModelRecord, ...]:
        """All models, or all versions of one, newest first."""
        with self._database.reading() as connection:
            return () if connection is None else made.read_models(connection, name)

    def close(self) -> None:
        """Release the connection."""
        self._database.close()

    def _applied(self, connection: Connection) -> Catalog:
        newest = select(tables.revisions.c.versions).order_by(tables.revisions.c.number.desc()).limit(1)
        versions = connection.execute(newest).scalar()
        forms = current_forms(connection, tables.live)
        return self._whole(catalog_of(connection, forms, json.loads(versions) if versions else {}))

    def _whole(self, catalog: Catalog) -> Catalog:
        if lost := catalog.lost():
            raise self._database.damaged(f"it holds services that name a view '{lost[0]}', and no such view")
        return catalog

    def _occasion(self, actor: str, reason: str) -> Occasion:
        return Occasion(self._now_us(), actor, reason)


def _file_token(file: str) -> tuple[int, int] | None:
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


def _write_objects(connection: Connection, number: int, diff: CatalogDiff) -> None:
    target = diff.target.objects()
    changed = {(change.kind, change.name) for change in diff.changes}
    for kind, name in changed & set(target):
        record = target[kind, name]
        connection.execute(
            insert(tables.objects).values(
                kind=kind,
                name=name,
                revision=number,
                version=diff.target.versions[name] if kind == "view" else None,
                meaning=meaning(record),
                document=encode(record),
            )
        )
    known = {(row.kind, row.name): row.revision for row in connection.execute(select(tables.live))}
    connection.execute(delete(tables.live))
    for position, (kind, name) in enumerate(target):
        revision = number if (kind, name) in changed else known[kind, name]
        connection.execute(insert(tables.live).values(kind=kind, name=name, revision=revision, position=position))
