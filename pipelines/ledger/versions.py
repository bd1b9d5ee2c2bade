"""Model versions, their states and their aliases in the ledger's tables, in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from featurestore.errors import ConflictError, UnknownNameError
from pipelines.ledger import tables
from pipelines.ledger.records import AliasMove, ModelState, ModelVersion, StateChange
from pipelines.ledger.rows import alias_move_of, encoded, model_of, state_change_of


@dataclass(frozen=True, slots=True)
class Occasion:
    """When, by whom and why something changes."""

    at_us: int
    actor: str
    reason: str


def insert_model(connection: Connection, model: ModelVersion, occasion: Occasion) -> None:
    """Add a version, which must be new; raises ConflictError when its number is taken."""
    if find_model(connection, model.model, model.version) is not None:
        raise ConflictError(f"Model '{model.model}' has a version {model.version} already.")
    row = {
        "model": model.model,
        "version": model.version,
        "state": model.state.value,
        "run": model.run,
        "created_at_us": model.created_at_us,
        "digest": model.digest,
        "champion": model.champion,
        "document": encoded(model.document),
    }
    connection.execute(insert(tables.model_versions).values(row))
    _log_state(connection, (model.model, model.version), None, model.state, occasion)


def find_model(connection: Connection, model: str, version: int) -> ModelVersion | None:
    """A version; None when there is none."""
    columns = tables.model_versions.c
    query = select(tables.model_versions).where(columns.model == model, columns.version == version)
    row = connection.execute(query).first()
    return None if row is None else model_of(row)


def read_model(connection: Connection, model: str, version: int) -> ModelVersion:
    """A version; raises UnknownNameError listing those there are."""
    found = find_model(connection, model, version)
    if found is None:
        known = (f"{m.model}@{m.version}" for m in read_models(connection, model))
        raise UnknownNameError("model version", f"{model}@{version}", known)
    return found


def read_models(connection: Connection, model: str | None) -> tuple[ModelVersion, ...]:
    """All versions, or those of one model, newest first."""
    columns = tables.model_versions.c
    query = select(tables.model_versions).order_by(columns.created_at_us.desc(), columns.version.desc())
    rows = connection.execute(query if model is None else query.where(columns.model == model)).all()
    return tuple(map(model_of, rows))


def set_state(connection: Connection, model: ModelVersion, to: ModelState, occasion: Occasion) -> ModelVersion:
    """Move a version from the state that it was read in; raises ConflictError when it has another one meanwhile."""
    current = read_model(connection, model.model, model.version)
    if current.state is not model.state:
        raise ConflictError(
            f"Model {model.model}@{model.version} is {current.state} meanwhile, not {model.state}; look again."
        )
    columns = tables.model_versions.c
    this = (columns.model == model.model) & (columns.version == model.version)
    connection.execute(update(tables.model_versions).where(this).values(state=to.value))
    _log_state(connection, (model.model, model.version), model.state, to, occasion)
    return read_model(connection, model.model, model.version)


def set_document(connection: Connection, model: ModelVersion) -> None:
    """Keep a version's document in the place of what it was."""
    columns = tables.model_versions.c
    this = (columns.model == model.model) & (columns.version == model.version)
    connection.execute(update(tables.model_versions).where(this).values(document=encoded(model.document)))


def read_alias(connection: Connection, model: str, alias: str) -> int | None:
    """The version that an alias names; None when it names none."""
    columns = tables.aliases.c
    query = select(columns.version).where(columns.model == model, columns.alias == alias)
    version: int | None = connection.execute(query).scalar()
    return version


def read_named(connection: Connection, alias: str) -> dict[str, int | None]:
    """For each model that has a version the one that an alias names; None where it names none."""
    models = connection.execute(select(tables.model_versions.c.model).distinct().order_by("model")).scalars()
    columns = tables.aliases.c
    query = select(columns.model, columns.version).where(columns.alias == alias)
    named = {row.model: row.version for row in connection.execute(query)}
    return {model: named.get(model) for model in models}


@dataclass(frozen=True, slots=True)
class AliasChange:
    """An alias that is to go from `expected` to `to`; None: it names nothing."""

    model: str
    alias: str
    expected: int | None
    to: int | None
    rollback: bool = False


def move_alias(connection: Connection, change: AliasChange, occasion: Occasion) -> AliasMove:
    """Move an alias by compare-and-set, and log it; raises ConflictError when it does not name what was expected."""
    found = read_alias(connection, change.model, change.alias)
    if found != change.expected:
        raise ConflictError(
            f"{change.alias} of '{change.model}' is {_named(found)} meanwhile, not {_named(change.expected)}, which "
            "the decision was made on; decide again."
        )
    columns = tables.aliases.c
    connection.execute(delete(tables.aliases).where(columns.model == change.model, columns.alias == change.alias))
    if change.to is not None:
        row = {"model": change.model, "alias": change.alias, "version": change.to}
        connection.execute(insert(tables.aliases).values(row))
    entry = {
        "model": change.model,
        "alias": change.alias,
        "at_us": occasion.at_us,
        "from_version": change.expected,
        "to_version": change.to,
        "actor": occasion.actor,
        "reason": occasion.reason,
        "rollback": change.rollback,
    }
    key = connection.execute(insert(tables.alias_log).values(entry)).inserted_primary_key
    assert key is not None, "an inserted row has a key"
    row_ = connection.execute(select(tables.alias_log).where(tables.alias_log.c.number == key[0])).one()
    return alias_move_of(row_)


def begin_rollback(connection: Connection, move: AliasMove) -> None:
    """Note that a move is a rollback that somebody asked for, which is finished once all who are to know of it do."""
    connection.execute(insert(tables.rollbacks).values(move=move.number))


def finish_rollback(connection: Connection, move: AliasMove, at_us: int) -> None:
    """Note that nothing is left to do for a rollback."""
    this = tables.rollbacks.c.move == move.number
    connection.execute(update(tables.rollbacks).where(this).values(finished_at_us=at_us))


def read_unfinished(connection: Connection, model: str, alias: str) -> AliasMove | None:
    """The last move of an alias, if it is a rollback that was begun and is not finished."""
    log, begun = tables.alias_log, tables.rollbacks
    of = select(func.max(log.c.number)).where(log.c.model == model, log.c.alias == alias).scalar_subquery()
    query = select(log).join(begun, begun.c.move == log.c.number).where(log.c.number == of)
    row = connection.execute(query.where(begun.c.finished_at_us.is_(None))).first()
    return None if row is None else alias_move_of(row)


def read_alias_log(connection: Connection, model: str | None) -> tuple[AliasMove, ...]:
    """All moves of aliases, or those of one model, newest first."""
    log = tables.alias_log
    query = select(log).order_by(log.c.number.desc())
    rows = connection.execute(query if model is None else query.where(log.c.model == model)).all()
    return tuple(map(alias_move_of, rows))


def read_state_log(connection: Connection, model: str, version: int | None) -> tuple[StateChange, ...]:
    """All changes of state of a model, or of one version, newest first."""
    log = tables.state_log
    query = select(log).where(log.c.model == model).order_by(log.c.number.desc())
    rows = connection.execute(query if version is None else query.where(log.c.version == version)).all()
    return tuple(map(state_change_of, rows))


def _log_state(
    connection: Connection, key: tuple[str, int], before: ModelState | None, to: ModelState, occasion: Occasion
) -> None:
    entry = {
        "model": key[0],
        "version": key[1],
        "at_us": occasion.at_us,
        "from_state": None if before is None else before.value,
        "to_state": to.value,
        "actor": occasion.actor,
        "reason": occasion.reason,
    }
    connection.execute(insert(tables.state_log).values(entry))


def _named(version: int | None) -> str:
    return "no version" if version is None else f"version {version}"
