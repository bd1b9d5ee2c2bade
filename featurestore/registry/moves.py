"""What serves, in the registry's tables: pointers to forms, and the log of every move of one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass

import msgspec
from sqlalchemy import Connection, delete, func, insert, select

from featurestore.errors import ConflictError, InputError
from featurestore.plan.catalog import Catalog, pins_of
from featurestore.registry import tables
from featurestore.registry.base import Move, Ready, RegistryState, ViewVersion
from featurestore.registry.forms import (
    Form,
    came_with,
    catalog_of,
    current_forms,
    past_forms,
    pinned_views,
)
from featurestore.registry.serving import Dependent, Key, rolled_back


@dataclass(frozen=True, slots=True)
class Occasion:
    """When, by whom and why something moves."""

    at_us: int
    actor: str
    reason: str


def newest_revision(connection: Connection) -> int:
    """The number of the newest revision; 0 before the first apply."""
    newest: int | None = connection.execute(select(func.max(tables.revisions.c.number))).scalar()
    return newest or 0


def state_number(connection: Connection) -> tuple[int, int]:
    """Tells one state of the registry from another."""
    newest: int | None = connection.execute(select(func.max(tables.serving_log.c.number))).scalar()
    return newest_revision(connection), newest or 0


def read_state(connection: Connection, applied: Catalog) -> RegistryState:
    """What is applied and what serves."""
    return RegistryState(
        number=state_number(connection),
        applied=applied,
        serving=catalog_of(connection, current_forms(connection, tables.serving)),
        held=_held(connection),
        since=came_with(connection, applied.objects()),
    )


def settle(connection: Connection, state: RegistryState, ready: Ready, occasion: Occasion) -> tuple[Move, ...]:
    """Let serve as applied whatever may; raises ConflictError when `ready` was found in another state."""
    if ready.number != state.number:
        raise ConflictError("Something was applied, switched or rolled back meanwhile. Run again.")
    live, old = current_forms(connection, tables.live), current_forms(connection, tables.serving)
    waiting = state.pending(ready.versions).waiting()
    serves: dict[Key, Form] = {}
    for key in (*live, *(key for key in old if key not in live)):
        form = old.get(key) if key in waiting else live.get(key)
        if form is not None:
            serves[key] = form
    return _move(connection, old, serves, state.held, occasion)


def roll_back(connection: Connection, before: RegistryState, to: ViewVersion, occasion: Occasion) -> tuple[Move, ...]:
    """Let an earlier version of a view serve, and hold it there; raises InputError naming what cannot follow."""
    old = current_forms(connection, tables.serving)
    past: dict[Key, list[tuple[Form, Dependent]]] = {}
    for key, form in old.items():
        earlier = past_forms(connection, key) if isinstance(form.record, Dependent) else ()
        past[key] = [(f, f.record) for f in earlier if f.revision < form.revision and isinstance(f.record, Dependent)]
    pins = before.serving.pins().union(*(pins_of(record) for forms in past.values() for _, record in forms))
    serving = msgspec.structs.replace(before.serving, pinned=pinned_views(connection, pins))
    back = rolled_back(serving, to.record, {key: [record for _, record in forms] for key, forms in past.items()})
    lost = [name for (_, name), place in back.items() if place is None]
    if lost:
        raise InputError(
            f"View '{to.view}' v{to.version} cannot answer {', '.join(lost)}, which never did without what came later. "
            f"Change or pin what they read ({to.view}.version(...)), apply, and roll back then."
        )
    forms = dict(old)
    forms["view", to.view] = next(f for f in past_forms(connection, ("view", to.view)) if f.version == to.version)
    forms |= {key: past[key][place][0] for key, place in back.items() if place is not None}
    return _move(connection, old, forms, before.held | {to.view}, occasion)


def read_moves(connection: Connection, view: str | None) -> tuple[Move, ...]:
    """The whole log, or that of one view, newest first."""
    log = tables.serving_log
    query = select(log).order_by(log.c.number.desc())
    if view is not None:
        query = query.where((log.c.kind == "view") & (log.c.name == view))
    return tuple(Move(**row) for row in connection.execute(query).mappings())


def _held(connection: Connection) -> frozenset[str]:
    serving = tables.serving.c
    return frozenset(connection.execute(select(serving.name).where(serving.held)).scalars())


def _move(
    connection: Connection, old: Mapping[Key, Form], new: Mapping[Key, Form], held: Collection[str], occasion: Occasion
) -> tuple[Move, ...]:
    """Point to the new forms and log what changed; touches nothing when nothing does."""
    moved = [key for key in (*new, *(key for key in old if key not in new)) if old.get(key) != new.get(key)]
    held = {name for kind, name in new if kind == "view" and name in held}
    if not moved and list(old) == list(new) and held == _held(connection):
        return ()
    connection.execute(delete(tables.serving))
    for position, ((kind, name), form) in enumerate(new.items()):
        is_held = kind == "view" and name in held
        row = {"kind": kind, "name": name, "revision": form.revision, "position": position, "held": is_held}
        connection.execute(insert(tables.serving).values(row))
    _, number = state_number(connection)
    moves = [
        _log_entry(number + i, occasion, key, (old.get(key), new.get(key))) for i, key in enumerate(moved, start=1)
    ]
    for move in moves:
        connection.execute(insert(tables.serving_log).values(asdict(move)))
    return tuple(moves)


def _log_entry(number: int, occasion: Occasion, key: Key, forms: tuple[Form | None, Form | None]) -> Move:
    (kind, name), (old, new) = key, forms
    return Move(
        number=number,
        at_us=occasion.at_us,
        actor=occasion.actor,
        reason=occasion.reason,
        kind=kind,
        name=name,
        from_revision=old.revision if old else None,
        from_version=old.version if old else None,
        to_revision=new.revision if new else None,
        to_version=new.version if new else None,
    )
