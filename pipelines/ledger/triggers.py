"""What triggers saw and what runs began with. Every function works in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from pipelines.ledger import tables
from pipelines.ledger.records import Observation, RunState
from pipelines.ledger.rows import decoded, encoded, observation_of


@dataclass(frozen=True, slots=True)
class Memory:
    """The newest observation of a trigger; the same was seen `times` times, at last at `seen_us` with `document`."""

    observation: Observation
    seen_us: int
    times: int
    document: Mapping[str, object]


def read_memory(connection: Connection, pipeline: str) -> dict[str, Memory]:
    """What the triggers of a pipeline saw last, by trigger."""
    memory, rows = tables.trigger_memory, tables.observations
    last = (memory.c.seen_us, memory.c.times, memory.c.document.label("last"))
    query = select(*last, rows).join(rows, rows.c.number == memory.c.observation)
    found = {}
    for row in connection.execute(query.where(memory.c.pipeline == pipeline)):
        observation = observation_of(row)
        found[observation.trigger] = Memory(observation, row.seen_us, row.times, decoded(row.last))
    return found


def remember(connection: Connection, observation: Observation) -> None:
    """Note that an observation, which was added just now, is the newest of its trigger."""
    row = {
        "pipeline": observation.pipeline,
        "trigger": observation.trigger,
        "observation": observation.number,
        "seen_us": observation.at_us,
        "times": 1,
        "document": encoded(observation.document),
    }
    connection.execute(delete(tables.trigger_memory).where(_of(observation.pipeline, observation.trigger)))
    connection.execute(insert(tables.trigger_memory).values(row))


def see_again(connection: Connection, key: tuple[str, str], at_us: int, document: Mapping[str, object]) -> None:
    """Note that a trigger, by pipeline and name, saw what it saw before, in numbers that may differ."""
    values = {"seen_us": at_us, "times": tables.trigger_memory.c.times + 1, "document": encoded(document)}
    connection.execute(update(tables.trigger_memory).where(_of(*key)).values(values))


def _of(pipeline: str, trigger: str) -> ColumnElement[bool]:
    return (tables.trigger_memory.c.pipeline == pipeline) & (tables.trigger_memory.c.trigger == trigger)


def expire_run(connection: Connection, run: int, outcome: str, at_us: int) -> None:
    """End a run that waited for its first attempt."""
    columns = tables.runs.c
    this = (columns.number == run) & (columns.state == RunState.PENDING.value)
    values = {"state": RunState.EXPIRED.value, "ended_at_us": at_us, "outcome": outcome}
    connection.execute(update(tables.runs).where(this).values(values))


class TableState(msgspec.Struct, frozen=True, kw_only=True):
    """A version of an offline table: its rows and its watermark (None: none)."""

    table: str
    version: int
    rows: int
    watermark_us: int | None = None


@dataclass(frozen=True, slots=True)
class RunBase:
    """What a run began with: digests of data and of definitions, and the state of each view's table."""

    run: int
    as_of_us: int
    data: str
    definition: str
    views: Mapping[str, TableState]


def set_base(connection: Connection, base: RunBase) -> None:
    """Note what a run begins with, and that it is to use what is known at `as_of_us`."""
    connection.execute(delete(tables.run_bases).where(tables.run_bases.c.run == base.run))
    row = {"run": base.run, "data": base.data, "definition": base.definition, "views": encoded(base.views)}
    connection.execute(insert(tables.run_bases).values(row))
    connection.execute(update(tables.runs).where(tables.runs.c.number == base.run).values(as_of_us=base.as_of_us))


def read_base(connection: Connection, run: int) -> RunBase | None:
    """What a run began with; None when nobody noted it."""
    bases, runs = tables.run_bases.c, tables.runs.c
    query = select(runs.as_of_us, tables.run_bases).join(tables.run_bases, runs.number == bases.run)
    row = connection.execute(query.where(bases.run == run)).first()
    if row is None:
        return None
    views = msgspec.json.decode(row.views, type=dict[str, TableState])
    return RunBase(row.run, row.as_of_us, row.data, row.definition, views)


def read_table(connection: Connection, table: str) -> TableState | None:
    """An offline table as somebody looked at it last; None when nobody did."""
    row = connection.execute(select(tables.view_tables).where(tables.view_tables.c.name == table)).first()
    return None if row is None else TableState(table=row.name, version=row.version, rows=row.rows,
                                               watermark_us=row.watermark_us)  # fmt: skip


def set_table(connection: Connection, state: TableState) -> None:
    """Keep how an offline table is."""
    connection.execute(delete(tables.view_tables).where(tables.view_tables.c.name == state.table))
    row = {"name": state.table, "version": state.version, "rows": state.rows, "watermark_us": state.watermark_us}
    connection.execute(insert(tables.view_tables).values(row))


def read_plans(connection: Connection) -> tuple[str, str] | None:
    """The digest of the definition files that the kept plans were made from, and the plans as JSON text."""
    row = connection.execute(select(tables.trigger_plans)).first()
    return None if row is None else (row.digest, row.document)


def set_plans(connection: Connection, digest: str, document: str) -> None:
    """Keep plans in the place of those that were."""
    connection.execute(delete(tables.trigger_plans))
    connection.execute(insert(tables.trigger_plans).values(digest=digest, document=document))


class MaterializationState(StrEnum):
    """RUNNING has not ended, or its process was killed; REFUSED was stopped by a contract."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    REFUSED = "REFUSED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Materialization:
    """A go at what a view's schedule asked for at `due_us`; `reason` says what stopped it."""

    number: int
    view: str
    due_us: int
    started_at_us: int
    ended_at_us: int | None
    state: MaterializationState
    rows: int = 0
    watermark_us: int | None = None
    reason: str = ""


def add_materialization(connection: Connection, view: str, due_us: int, at_us: int) -> int:
    """Note that a materialization begins, and return its number."""
    row = {"view": view, "due_us": due_us, "started_at_us": at_us, "state": MaterializationState.RUNNING.value}
    key = connection.execute(
        insert(tables.materializations).values({**row, "rows": 0, "reason": ""})
    ).inserted_primary_key
    assert key is not None, "an inserted row has a key"
    return int(key[0])


def end_materialization(connection: Connection, ended: Materialization) -> None:
    """Note how a materialization ended."""
    values = {
        "ended_at_us": ended.ended_at_us,
        "state": ended.state.value,
        "rows": ended.rows,
        "watermark_us": ended.watermark_us,
        "reason": ended.reason,
    }
    this = tables.materializations.c.number == ended.number
    connection.execute(update(tables.materializations).where(this).values(values))


def read_materializations(
    connection: Connection, views: tuple[str, ...], limit: int | None = None
) -> tuple[Materialization, ...]:
    """The materializations of some views, newest first."""
    columns = tables.materializations.c
    query = select(tables.materializations).where(columns.view.in_(views)).order_by(columns.number.desc())
    rows = connection.execute(query.limit(limit)).all()
    return tuple(Materialization(**{**row._mapping, "state": MaterializationState(row.state)}) for row in rows)
