"""Why a pipeline did, or did not, retrain: what its triggers saw, what was decided, what its runs became."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from featurestore.cron import Cron
from featurestore.timeline import format_instant
from pipelines.definition.triggers import Schedule
from pipelines.ledger import Ledger
from pipelines.ledger.records import AliasMove, Decision, GateResult, Observation, Run
from pipelines.ledger.runs import RunFilter
from pipelines.ledger.triggers import Materialization, MaterializationState, Memory, read_materializations
from pipelines.triggers.decision import BREAKER, BY_HAND, RETRY, START
from pipelines.triggers.labelling import LABELS
from pipelines.triggers.plans import TriggerPlan
from pipelines.triggers.readings import to_the_second
from pipelines.triggers.standing import Known, read_known

# what became of a trigger that fired
_FATES = {"ACCEPTED": "started run {}", "COALESCED": "joined run {}", "SUPPRESSED": "fired and was refused"}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: `what` happened to `whom` (a trigger, a run, a gate, a view, an alias), and why."""

    at_us: int
    whom: str
    what: str
    why: str
    run: int | None = None


@dataclass(frozen=True, slots=True)
class TriggerSeen:
    """What a trigger saw last: the same `times` times, at last at `seen_us` (None: nobody has looked yet).

    `run` is the one that it started or joined.
    """

    trigger: str
    what: str
    why: str
    seen_us: int | None
    times: int
    run: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer in sentences, what each trigger saw last, and the newest events, the earliest of them first.

    `champion` says which version is live, since when and why.
    """

    pipeline: str
    answer: tuple[str, ...]
    champion: str
    triggers: tuple[TriggerSeen, ...]
    events: tuple[Event, ...]


def explain(ledger: Ledger, plan: TriggerPlan, now_us: int, since_us: int | None, limit: int) -> Explanation:
    """Why a pipeline did, or did not, retrain, as far as the ledger knows; at most `limit` events since an instant."""
    name = plan.pipeline
    with ledger.reading() as connection:
        known = read_known(connection, name)
        views = () if connection is None else read_materializations(connection, plan.views, limit)
    runs = ledger.runs(RunFilter(name, "run", limit=limit))
    moves = ledger.alias_log(name)
    numbers = {run.number for run in runs}
    told = [  # of one instant in this order
        *(_materialized(one) for one in reversed(views) if one.state is not MaterializationState.DONE),
        *(_observed(one, known.memory) for one in reversed(ledger.observations(name, limit=limit))),
        *(_added(run) for run in reversed(runs)),
        *(_judged(one) for one in reversed(ledger.gate_results(name, limit=limit)) if one.run in numbers),
        *(_moved(one) for one in reversed(moves[:limit])),
        *(_ended(run, run.ended_at_us) for run in reversed(runs) if run.ended_at_us is not None),
    ]
    events = sorted((e for e in told if since_us is None or e.at_us >= since_us), key=lambda event: event.at_us)
    seen = tuple(_seen(plan, known.memory, runs[0] if runs else None, now_us))
    return Explanation(name, tuple(_answer(known, runs, seen)), _champion(moves), seen, tuple(events[-limit:]))


def _champion(moves: Sequence[AliasMove]) -> str:
    """Which version is live; `moves` begin with the newest."""
    if not moves or moves[0].to_version is None:
        return "No version of it is the champion."
    newest = moves[0]
    since = to_the_second(newest.at_us)
    return f"v{newest.to_version} is the champion since {since}, by {newest.actor}: {newest.reason.rstrip('.')}."


def _cause(run: Run) -> str:
    """What started a run, as words that follow a verb."""
    return run.trigger if run.trigger == BY_HAND else f"for {run.trigger}"


def _answer(known: Known, runs: Sequence[Run], seen: Sequence[TriggerSeen]) -> Iterator[str]:
    ended = next((run for run in runs if run.state.ended), None)
    if ended is None:
        yield "It has not run yet."
    else:
        at = to_the_second(ended.ended_at_us or ended.created_at_us)
        yield f"It last ran as run {ended.number}, {_cause(ended)}: {ended.state} at {at}. {ended.outcome}".strip()
    standing, why = known.standing, known.memory.get(START)
    if standing.left is not None:
        yield f"Run {standing.left.run} is running, or was left unfinished: then the next tick goes on with it."
    if standing.waiting is not None:
        held = why is not None and why.observation.run == standing.waiting.run
        reason = why.observation.reason if held and why is not None else "the next tick starts it"
        yield f"Run {standing.waiting.run} waits: {reason}."
    retry = known.memory.get(RETRY)
    if retry is not None and runs and retry.observation.run == runs[0].number:
        yield f"{RETRY} started run {runs[0].number}: {retry.observation.reason}."
    yield from _fates(seen)
    labels = known.memory.get(LABELS)
    if labels is not None and labels.observation.decision is Decision.FAILED:
        yield f"{labels.observation.reason}."
    if (broken := known.memory.get(BREAKER)) is not None and not _closed(broken, runs):
        yield f"{broken.observation.reason}."


def _fates(seen: Sequence[TriggerSeen]) -> Iterator[str]:
    """What became of each trigger, those that did not fire together."""
    fired = [(one, _FATES[one.what].format(one.run)) for one in seen if one.what in _FATES]
    yield from (f"{one.trigger} {fate}: {one.why}." for one, fate in fired)
    idle = "; ".join(f"{one.trigger}: {one.why}" for one in seen if one.what not in _FATES)
    if idle:
        yield f"Nothing {'else ' if fired else ''}fires: {idle}."
    elif not seen:
        yield "It declares no trigger, so it runs by hand alone."


def _closed(broken: Memory, runs: Sequence[Run]) -> bool:
    """Whether a run has ended well since the circuit opened."""
    return any(run.state == "SUCCEEDED" and run.ended_at_us is not None
               and run.ended_at_us >= broken.observation.at_us for run in runs)  # fmt: skip


def _seen(plan: TriggerPlan, memory: Mapping[str, Memory], newest: Run | None, now_us: int) -> Iterator[TriggerSeen]:
    for name, trigger in plan.triggers.items():
        seen = memory.get(name)
        if seen is None:
            yield TriggerSeen(name, "NOT SEEN", "no tick has looked at it yet", None, 0)
            continue
        observation = seen.observation
        what, why, run = observation.decision.value, observation.reason, observation.run
        if isinstance(trigger, Schedule):
            due = f"due next at {format_instant(next(Cron(trigger.cron, trigger.zone).after_us(now_us)))}"
            if what == "IDLE" or _is_over(observation, newest):
                what, why, run = "IDLE", due, None
            else:
                why = f"{why}; {due}"
        yield TriggerSeen(name, what, why, seen.seen_us, seen.times, run)


def _is_over(observation: Observation, newest: Run | None) -> bool:
    """Whether a run has come after what a schedule did: its time is spent, and says nothing of the present."""
    if newest is None:
        return False
    if observation.run is not None:
        return newest.number > observation.run
    return newest.created_at_us > observation.at_us


def _observed(one: Observation, memory: Mapping[str, Memory]) -> Event:
    seen = memory.get(one.trigger)
    again = ""
    if seen is not None and seen.observation.number == one.number and seen.times > 1:
        again = f" ({seen.times} times, at last at {to_the_second(seen.seen_us)})"
    return Event(one.at_us, one.trigger, one.decision.value, one.reason + again, one.run)


def _added(run: Run) -> Event:
    return Event(run.created_at_us, "run", "ADDED", f"{_cause(run)}, by {run.actor}", run.number)


def _ended(run: Run, at_us: int) -> Event:
    return Event(at_us, "run", run.state.value, run.outcome, run.number)


def _judged(one: GateResult) -> Event:
    return Event(one.at_us, f"{one.gate} gate", one.verdict.value, one.summary, one.run)


def _moved(one: AliasMove) -> Event:
    to = "no version" if one.to_version is None else f"version {one.to_version}"
    return Event(
        one.at_us, one.alias, "ROLLED BACK" if one.rollback else "MOVED", f"to {to}, by {one.actor}: {one.reason}"
    )


def _materialized(one: Materialization) -> Event:
    why = one.reason or "its process ended before it did"
    return Event(one.started_at_us, f"view {one.view}", one.state.value, f"due at {format_instant(one.due_us)}: {why}")
