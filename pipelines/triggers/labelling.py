"""Labels that became known are joined to predictions before triggers judge these: when it is due, and what came of it.

It is due when definitions, the files of labels or those of predictions have changed since, or when the clock has come
to where another label is known. It may take a twentieth of the time: after that follows a pause.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from featurestore.errors import FeatureStoreError
from featurestore.timeline import duration_us
from pipelines.definition.policy import RunPolicy
from pipelines.definition.triggers import PerformanceDrop
from pipelines.ledger.records import Decision
from pipelines.ledger.triggers import Memory
from pipelines.triggers.decision import Noted
from pipelines.triggers.plans import TriggerPlan

LABELS = "labels"  # what the ledger calls it among the triggers of a pipeline
_TIMES = 20  # a pause is so many times as long as what it follows
_LEAST_US = duration_us(timedelta(minutes=1))
_PAUSES = RunPolicy(retry_after=timedelta(minutes=1), retry_at_most=timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class Joined:
    """So many labels of predictions were `new`; the source has another that becomes known at `next_us`, or none."""

    new: int
    next_us: int | None


@dataclass(frozen=True, slots=True)
class Labelling:
    """By the name of a pipeline: the joining, what changes with its log of predictions (None: there is none), and what
    changes when labels are recorded (None: nobody knows).
    """

    join: Callable[[str], Joined]
    predicted: Callable[[str], int | None]
    recorded: Callable[[str], int | None]


def needs_labels(plan: TriggerPlan) -> bool:
    """Whether a trigger goes by labels."""
    return any(kind == PerformanceDrop.__name__ for kind, _ in plan.declared)


def is_due(seen: Memory | None, rests_on: str, now_us: int) -> bool:
    """Whether labels are to be joined, `rests_on` being the digest of all files that this reads."""
    if seen is None:
        return True
    failed = seen.observation.decision is Decision.FAILED
    pause_us = duration_us(_PAUSES.pause(seen.times)) if failed else _TIMES * _whole(seen, "took_us", 0)
    if now_us < seen.seen_us + max(pause_us, _LEAST_US):
        return False
    return failed or seen.document.get("rests_on") != rests_on or now_us >= _whole(seen, "next_us", now_us + 1)


def joined(join: Callable[[], Joined], rests_on: str) -> Noted:
    """Join labels now, and what there is to note of it; what fails is noted too."""
    began = time.monotonic_ns()
    try:
        found = join()
    except Exception as error:  # noqa: BLE001 -- whatever a source or a file does, triggers are still looked at
        why = str(error) if isinstance(error, FeatureStoreError) else f"{type(error).__name__}: {error}"
        return Noted(LABELS, Decision.FAILED, f"labels cannot be joined to predictions: {why}")
    document = {"rests_on": rests_on, "next_us": found.next_us, "took_us": (time.monotonic_ns() - began) // 1_000}
    if not found.new:
        return Noted(LABELS, Decision.IDLE, "no prediction has a label that was not recorded yet", document=document)
    return Noted(LABELS, Decision.RECORDED, f"{found.new:,} new labels of predictions", document=document)


def _whole(seen: Memory, name: str, otherwise: int) -> int:
    value = seen.document.get(name)
    return value if isinstance(value, int) else otherwise
