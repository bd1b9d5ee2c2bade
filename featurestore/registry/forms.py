"""The forms that objects had, in the registry's tables: every apply adds those it changed, none is ever removed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection, Row, Table, select

from featurestore.plan.catalog import Catalog, Object, ViewRecord, decode, reference
from featurestore.registry import tables
from featurestore.registry.base import ViewVersion
from featurestore.registry.serving import Key


@dataclass(frozen=True, slots=True)
class Form:
    """An object as it was applied with a revision; `version` of a view."""

    revision: int
    version: int | None
    record: Object = field(repr=False)


def current_forms(connection: Connection, pointers: Table) -> dict[Key, Form]:
    """The forms that a table points to (`live` or `serving`), in its order."""
    objects = tables.objects
    query = select(objects).join(
        pointers,
        (pointers.c.kind == objects.c.kind)
        & (pointers.c.name == objects.c.name)
        & (pointers.c.revision == objects.c.revision),
    )
    return _forms(connection.execute(query.order_by(pointers.c.position)))


def catalog_of(connection: Connection, forms: Mapping[Key, Form], versions: Mapping[str, int] | None = None) -> Catalog:
    """The catalog that holds the forms and the versions that they pin; `versions`, by default, are the forms' own."""
    own = {name: form.version for (_, name), form in forms.items() if form.version is not None}
    catalog = Catalog.of({key: form.record for key, form in forms.items()}, own if versions is None else dict(versions))
    return msgspec.structs.replace(catalog, pinned=pinned_views(connection, catalog.pins()))


def pinned_views(connection: Connection, pins: Collection[tuple[str, int]]) -> dict[str, ViewRecord]:
    """The newest wording of those versions, by reference; without those that never were."""
    found = {
        (v.view, v.version): v.record for name in {view for view, _ in pins} for v in view_versions(connection, name)
    }
    return {reference(*pin): found[pin] for pin in sorted(pins) if pin in found}


def view_versions(connection: Connection, view: str | None = None) -> tuple[ViewVersion, ...]:
    """Every version that views had, or those of one view; newest first, each in its newest wording."""
    objects, revisions = tables.objects, tables.revisions
    query = (
        select(objects, revisions.c.applied_at_us, revisions.c.applied_by)
        .join(revisions, revisions.c.number == objects.c.revision)
        .where(objects.c.kind == "view")
        .order_by(objects.c.revision)
    )
    first: dict[tuple[str, int], Row[tuple[object, ...]]] = {}
    newest: dict[tuple[str, int], bytes] = {}
    for row in connection.execute(query if view is None else query.where(objects.c.name == view)):
        first.setdefault((row.name, row.version), row)
        newest[row.name, row.version] = bytes(row.document)
    found = [
        ViewVersion(name, version, row.applied_at_us, row.applied_by, _view(newest[name, version]))
        for (name, version), row in first.items()
    ]
    return tuple(reversed(found))


def past_forms(connection: Connection, key: Key) -> tuple[Form, ...]:
    """Every form that an object had, newest first."""
    objects = tables.objects
    query = select(objects).where((objects.c.kind == key[0]) & (objects.c.name == key[1]))
    rows = connection.execute(query.order_by(objects.c.revision.desc()))
    return tuple(_form(row) for row in rows)


def came_with(connection: Connection, live: Iterable[Key]) -> dict[Key, int]:
    """For each of the applied objects the revision in which its meaning came, which later wordings leave alone."""
    objects = tables.objects.c
    since: dict[Key, tuple[object, int]] = {}
    columns = select(objects.kind, objects.name, objects.revision, objects.version, objects.meaning)
    for row in connection.execute(columns.order_by(objects.revision)):
        key, meant = (row.kind, row.name), (row.version, row.meaning)
        if key not in since or since[key][0] != meant:
            since[key] = (meant, row.revision)
    return {key: since[key][1] for key in live}


def _forms(rows: Iterable[Row[tuple[object, ...]]]) -> dict[Key, Form]:
    return {(row.kind, row.name): _form(row) for row in rows}


def _form(row: Row[tuple[object, ...]]) -> Form:
    return Form(row.revision, row.version, decode(row.kind, bytes(row.document)))


def _view(document: bytes) -> ViewRecord:
    record = decode("view", document)
    assert isinstance(record, ViewRecord)
    return record
