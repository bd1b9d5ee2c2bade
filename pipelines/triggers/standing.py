"""How a pipeline stands, as the ledger has it. Every function works in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from pipelines.ledger import tables
from pipelines.ledger.records import CHAMPION_ALIAS, Run, RunState, Verdict
from pipelines.ledger.runs import RunFilter, read_attempts, read_run, read_runs
from pipelines.ledger.triggers import Memory, read_base, read_memory
from pipelines.ledger.versions import find_model, read_alias
from pipelines.triggers.decision import BREAKER, BY_HAND, Ended, Ending, Left, Standing, Waiting

_LOOKED_AT = 200  # runs; an older one decides nothing any more


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of a pipeline: how it stands, and what its triggers saw.

    `standing` lacks the present: the clock, the data and what holds runs back. `trained` is the last run that trained,
    `champion` the one whose model is live.
    """

    standing: Standing
    memory: Mapping[str, Memory]
    trained: Run | None = None
    champion: Run | None = None


def read_known(connection: Connection | None, pipeline: str) -> Known:
    """What the ledger knows of a pipeline; nothing while there is no ledger (None)."""
    if connection is None:
        return Known(Standing(0), {})
    runs = read_runs(connection, RunFilter(pipeline, "run", limit=_LOOKED_AT))
    memory = read_memory(connection, pipeline)
    over = list(_ended(connection, runs))
    trained = [run for run, ended in over if ended.ending in (Ending.TRAINED, Ending.MODEL_REFUSED)]
    called = memory.get(BREAKER)
    standing = Standing(
        0,
        waiting=_waiting(runs),
        left=_left(connection, runs),
        ended=tuple(ended for _, ended in over),
        called=called.observation.run if called else None,
    )
    return Known(standing, memory, trained[0] if trained else None, _champion(connection, pipeline))


def _champion(connection: Connection, pipeline: str) -> Run | None:
    version = read_alias(connection, pipeline, CHAMPION_ALIAS)
    model = None if version is None else find_model(connection, pipeline, version)
    return None if model is None else read_run(connection, model.run)


def _waiting(runs: Sequence[Run]) -> Waiting | None:
    pending = [run for run in runs if run.state is RunState.PENDING]
    return Waiting(pending[-1].number, pending[-1].created_at_us) if pending else None


def _left(connection: Connection, runs: Sequence[Run]) -> Left | None:
    running = [run for run in runs if run.state is RunState.RUNNING]
    return Left(running[0].number, len(read_attempts(connection, running[0].number))) if running else None


def _ended(connection: Connection, runs: Sequence[Run]) -> Iterator[tuple[Run, Ended]]:
    for run in runs:
        if not run.state.ended or run.state is RunState.EXPIRED or run.ended_at_us is None:
            continue
        base = read_base(connection, run.number)
        data, definition = (base.data, base.definition) if base else ("", "")
        by_hand = run.trigger == BY_HAND
        ending = _ending(connection, run)
        yield run, Ended(run.number, ending, run.ended_at_us, by_hand, data, definition, run.outcome)


def _ending(connection: Connection, run: Run) -> Ending:
    if run.state is RunState.SUCCEEDED:
        return Ending.TRAINED
    if run.state is RunState.FAILED:
        return Ending.FAILED
    results = tables.gate_results.c
    query = select(results.verdict).where(results.run == run.number, results.gate == "data")
    refused = any(not Verdict(verdict).passed for verdict in connection.execute(query).scalars())
    return Ending.DATA_REFUSED if refused else Ending.MODEL_REFUSED
