"""What becomes of what the triggers of a pipeline saw: a function of readings, ledger and clock, without I/O.

A trigger that fired starts a run, or joins the one that waits, or is refused with the reason. At most one run waits.
A reading is an edge when it happened once, such as a time that came due: it is spent whatever becomes of it. The others
are levels: they hold until data or a run changes them, so that nothing is lost when one is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from featurestore.timeline import duration_us, format_duration, format_instant
from pipelines.definition.policy import RunPolicy
from pipelines.ledger.records import Decision

NEW = 0  # stands for the number of the run that a decision adds
RETRY = "retry"
BREAKER = "circuit breaker"
BY_HAND = "by hand"
START = "start"  # not what fires, but what keeps a run that waits from starting
ATTEMPTS = 3  # a run whose process ended so many times has failed


class Ending(StrEnum):
    """How a run ended, as far as the next one is concerned."""

    TRAINED = "trained"
    DATA_REFUSED = "data refused"
    MODEL_REFUSED = "model refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a trigger sees: `says` in a sentence, `document` in numbers; `edge`: it happened once."""

    trigger: str
    fired: bool
    says: str
    edge: bool = False
    document: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that ended; `data` and `definition` are digests of what it began with, empty when nobody noted them."""

    run: int
    ending: Ending
    ended_us: int
    by_hand: bool = False
    data: str = ""
    definition: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that waits for its first attempt."""

    run: int
    since_us: int


@dataclass(frozen=True, slots=True)
class Left:
    """A run whose process ended before it did, after so many attempts."""

    run: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a pipeline stands while nobody runs it: `ended` newest first, `holds` why it must not start now.

    `data` and `definition` are digests of what a run would begin with. `called` is the run after which a person was
    called last.
    """

    now_us: int
    data: str = ""
    definition: str = ""
    waiting: Waiting | None = None
    left: Left | None = None
    ended: Sequence[Ended] = ()
    holds: Sequence[str] = ()
    called: int | None = None


@dataclass(frozen=True, slots=True)
class Noted:
    """What became of a reading; `run` is the one that it starts (NEW: the added one) or joins."""

    trigger: str
    decision: Decision
    reason: str
    run: int | None = None
    edge: bool = False
    document: Mapping[str, object] = field(default_factory=dict)


Action = Literal["nothing", "start", "resume", "give up"]


@dataclass(frozen=True, slots=True)
class Decided:
    """What to note, and what to do: add a run for `adds`, expire the one that waited, call a person, run.

    `action` is about the run that waits (the added one too), or for "resume" and "give up" the one that was left.
    `waits` says why a run that waits does not start yet.
    """

    notes: tuple[Noted, ...]
    adds: str | None = None
    expires: int | None = None
    calls: str | None = None
    action: Action = "nothing"
    waits: str | None = None


def decide(policy: RunPolicy, readings: Sequence[Reading], standing: Standing) -> Decided:
    """What becomes of the readings, in their order, and what is to be done now."""
    notes: list[Noted] = []
    broken = _broken(policy, standing.ended)
    waiting = standing.waiting
    gone, why = _expiry(policy, standing, broken)
    if gone is not None:
        notes.append(Noted(START, Decision.EXPIRED, why, gone.run))
        waiting = None
    adds = None
    if waiting is None and standing.left is None and (retry := _retry(policy, standing, broken)) is not None:
        notes.append(retry)
        adds, waiting = RETRY, Waiting(NEW, standing.now_us)
    refusal = _refusal(policy, standing, broken)
    for reading in readings:
        noted = _noted(reading, waiting, standing.left, refusal)
        notes.append(noted)
        if noted.decision is Decision.ACCEPTED:
            adds, waiting = reading.trigger, Waiting(NEW, standing.now_us)
    action, waits = _action(policy, standing, waiting)
    if waits is not None and waiting is not None:
        notes.append(Noted(START, Decision.SUPPRESSED, waits, waiting.run))
    calls = broken if broken and standing.called != standing.ended[0].run else None
    return Decided(tuple(notes), adds, gone.run if gone else None, calls, action, waits)


def is_news(noted: Noted, before: Noted | None) -> bool:
    """Whether what was noted differs from what was noted of the trigger before.

    A level that goes on while the run that it started or joined waits tells nothing new, nor does a time that has not
    come yet. Labels that were recorded are news each time.
    """
    if before is None or noted.decision is Decision.RECORDED:
        return True
    if noted.edge and noted.decision is Decision.IDLE:
        return False
    if noted.decision is Decision.COALESCED and not noted.edge and noted.run == before.run:
        return False
    return (noted.decision, noted.run, noted.reason) != (before.decision, before.run, before.reason)


def _noted(reading: Reading, waiting: Waiting | None, left: Left | None, refusal: str | None) -> Noted:
    def noted(decision: Decision, reason: str, run: int | None = None) -> Noted:
        return Noted(reading.trigger, decision, reason, run, reading.edge, reading.document)

    if not reading.fired:
        return noted(Decision.IDLE, reading.says)
    if waiting is not None:
        return noted(Decision.COALESCED, reading.says, waiting.run)
    if left is not None and not reading.edge:
        return noted(Decision.COALESCED, f"{reading.says}; run {left.run} goes on first", left.run)
    if refusal is not None:
        return noted(Decision.SUPPRESSED, f"{reading.says}; {refusal}")
    return noted(Decision.ACCEPTED, reading.says, NEW)


def _refusal(policy: RunPolicy, standing: Standing, broken: str | None) -> str | None:
    """Why no trigger may add a run now; None when one may."""
    if broken is not None:
        return broken
    last = next((run for run in standing.ended if run.ending is not Ending.FAILED), None)
    if last is None:
        return None
    same_data = last.data == standing.data != ""
    if last.ending is Ending.DATA_REFUSED and same_data:
        return f"the data of run {last.run} was refused, and no new data has come since"
    if last.ending is Ending.MODEL_REFUSED and same_data and last.definition == standing.definition:
        return f"the model of run {last.run} was refused, and neither data nor definitions have changed since"
    until_us = last.ended_us + duration_us(policy.cool_down)
    if standing.now_us < until_us:
        return f"run {last.run} has ended, and it cools down until {format_instant(until_us)}"
    return None


def _broken(policy: RunPolicy, ended: Sequence[Ended]) -> str | None:
    """Why the circuit is open; None while it is closed."""
    streak = 0
    for run in ended:
        if run.ending is Ending.TRAINED:
            break
        streak += 1
    if streak < policy.max_failures:
        return None
    return (
        f"the last {policy.max_failures} runs did not end well ({ended[0].run}: {ended[0].ending}), so the circuit is "
        "open until a run by hand does"
    )


def _streak(ended: Sequence[Ended]) -> int:
    """How many of the newest runs failed in a row."""
    failed = [run.ending is Ending.FAILED for run in ended]
    return failed.index(False) if False in failed else len(failed)


def _retry(policy: RunPolicy, standing: Standing, broken: str | None) -> Noted | None:
    """The try that follows a run that a trigger started and that failed."""
    if broken is not None or not _is_to_pause(standing.ended):
        return None
    last = standing.ended[0]
    due_us = _retry_us(policy, standing.ended)
    reason = f"run {last.run} failed: {last.outcome or 'no reason is known'}; tried again at {format_instant(due_us)}"
    return Noted(RETRY, Decision.ACCEPTED, reason, NEW, edge=True, document={"after": last.run})


def _is_to_pause(ended: Sequence[Ended]) -> bool:
    """Whether the newest run failed and no person was there to see it."""
    return bool(ended) and ended[0].ending is Ending.FAILED and not ended[0].by_hand


def _retry_us(policy: RunPolicy, ended: Sequence[Ended]) -> int:
    return ended[0].ended_us + duration_us(policy.pause(_streak(ended)))


def _expiry(policy: RunPolicy, standing: Standing, broken: str | None) -> tuple[Waiting | None, str]:
    """The waiting run that is given up, and why."""
    waiting = standing.waiting
    if waiting is None:
        return None, ""
    if broken is not None:
        return waiting, broken
    start_us, _ = _start_us(policy, standing, waiting)
    longest = duration_us(policy.expires_after)
    if standing.holds and standing.now_us - start_us > longest:
        return waiting, f"it waited longer than {format_duration(longest)}: {'; '.join(standing.holds)}"
    return None, ""


def _start_us(policy: RunPolicy, standing: Standing, waiting: Waiting) -> tuple[int, str]:
    """From when on a waiting run may start, and what it waits for until then."""
    settled_us = waiting.since_us + duration_us(policy.debounce)
    if _is_to_pause(standing.ended) and (retry_us := _retry_us(policy, standing.ended)) > settled_us:
        return retry_us, f"run {standing.ended[0].run} has failed, and no other begins"
    return settled_us, "other triggers may join it"


def _action(policy: RunPolicy, standing: Standing, waiting: Waiting | None) -> tuple[Action, str | None]:
    if standing.left is not None:
        return "resume" if standing.left.attempts < ATTEMPTS else "give up", None
    if waiting is None:
        return "nothing", None
    start_us, what = _start_us(policy, standing, waiting)
    if standing.now_us < start_us:
        return "nothing", f"it starts at {format_instant(start_us)}: {what} until then"
    if standing.holds:
        return "nothing", "; ".join(standing.holds)
    return "start", None
