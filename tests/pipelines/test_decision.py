"""What becomes of what triggers saw: by examples, and in any history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.errors import DefinitionError
from pipelines import RunPolicy
from pipelines.ledger.records import Decision
from pipelines.triggers.decision import (
    ATTEMPTS,
    NEW,
    RETRY,
    START,
    Decided,
    Ended,
    Ending,
    Left,
    Noted,
    Reading,
    Standing,
    Waiting,
    decide,
    is_news,
)

MINUTE = 60_000_000
HOUR = 60 * MINUTE
NIGHTLY = Reading("nightly", True, "it is three", edge=True)
ROWS = Reading("rows", True, "9 of 5 rows")
FEW = Reading("rows", False, "3 of 5 rows")
POLICY = RunPolicy()


def at(now_us: int, **changed: object) -> Standing:
    return replace(Standing(now_us), **changed)  # type: ignore[arg-type]  # fields by name


def fates(decided: Decided) -> list[tuple[str, str, int | None]]:
    """What became of the readings, and of the run that waited."""
    return [
        (n.trigger, n.decision.value, n.run) for n in decided.notes if (n.trigger, n.reason) != (START, decided.waits)
    ]


def ended(run: int, ending: Ending, ended_us: int = 0, **changed: object) -> Ended:
    return replace(Ended(run, ending, ended_us), **changed)  # type: ignore[arg-type]  # fields by name


def failures(count: int) -> tuple[Ended, ...]:
    return tuple(ended(run, Ending.FAILED, run * HOUR) for run in range(count, 0, -1))


def test_what_did_not_fire_is_idle() -> None:
    decided = decide(POLICY, [FEW], at(0))
    assert fates(decided) == [("rows", "IDLE", None)]
    assert (decided.adds, decided.action) == (None, "nothing")


def test_the_first_that_fires_adds_a_run_and_the_others_join_it() -> None:
    decided = decide(POLICY, [FEW, NIGHTLY, ROWS], at(0))
    assert fates(decided) == [("rows", "IDLE", None), ("nightly", "ACCEPTED", NEW), ("rows", "COALESCED", NEW)]
    assert (decided.adds, decided.action, decided.waits) == ("nightly", "start", None)


def test_what_fires_while_a_run_waits_joins_it() -> None:
    decided = decide(RunPolicy(debounce=timedelta(minutes=10)), [NIGHTLY], at(MINUTE, waiting=Waiting(7, 0)))
    assert fates(decided) == [("nightly", "COALESCED", 7)]
    assert (decided.adds, decided.action) == (None, "nothing")
    assert decided.waits == "it starts at 1970-01-01T00:10:00Z: other triggers may join it until then"


def test_a_run_starts_when_nobody_is_waited_for_any_more() -> None:
    policy = RunPolicy(debounce=timedelta(minutes=10))
    assert decide(policy, [], at(10 * MINUTE - 1, waiting=Waiting(7, 0))).action == "nothing"
    assert decide(policy, [], at(10 * MINUTE, waiting=Waiting(7, 0))).action == "start"


def test_late_features_hold_a_run_back_with_the_reason() -> None:
    decided = decide(POLICY, [ROWS], at(0, holds=("view 'spend' failed at 03:00",)))
    assert (decided.action, decided.waits) == ("nothing", "view 'spend' failed at 03:00")
    assert decided.notes[-1] == Noted(START, Decision.SUPPRESSED, "view 'spend' failed at 03:00", NEW)


def test_a_run_that_is_held_back_too_long_expires_and_what_still_holds_asks_again() -> None:
    waiting = Waiting(7, 0)
    held = at(24 * HOUR, waiting=waiting, holds=("spend is late",))
    assert decide(POLICY, [ROWS], held).expires is None
    decided = decide(POLICY, [ROWS], replace(held, now_us=24 * HOUR + 1))
    assert fates(decided) == [(START, "EXPIRED", 7), ("rows", "ACCEPTED", NEW)]
    assert decided.expires == 7
    assert decided.notes[0].reason == "it waited longer than 1d: spend is late"


def test_a_run_that_nothing_holds_starts_however_long_nobody_looked() -> None:
    decided = decide(POLICY, [], at(90 * 24 * HOUR, waiting=Waiting(7, 0)))
    assert (decided.expires, decided.action) == (None, "start")


def test_nothing_starts_while_it_cools_down() -> None:
    policy = RunPolicy(cool_down=timedelta(hours=2))
    standing = at(2 * HOUR - 1, ended=[ended(7, Ending.TRAINED)])
    (noted,) = decide(policy, [ROWS], standing).notes
    assert (noted.decision, noted.reason) == (
        Decision.SUPPRESSED, "9 of 5 rows; run 7 has ended, and it cools down until 1970-01-01T02:00:00Z",
    )  # fmt: skip
    assert decide(policy, [ROWS], replace(standing, now_us=2 * HOUR)).action == "start"


@pytest.mark.parametrize(
    ("ending", "data", "definition", "decision"),
    [
        (Ending.DATA_REFUSED, "d1", "c1", Decision.SUPPRESSED),
        (Ending.DATA_REFUSED, "d1", "c2", Decision.SUPPRESSED),
        (Ending.DATA_REFUSED, "d2", "c1", Decision.ACCEPTED),
        (Ending.MODEL_REFUSED, "d1", "c1", Decision.SUPPRESSED),
        (Ending.MODEL_REFUSED, "d1", "c2", Decision.ACCEPTED),
        (Ending.MODEL_REFUSED, "d2", "c1", Decision.ACCEPTED),
        (Ending.TRAINED, "d1", "c1", Decision.ACCEPTED),
    ],
)
def test_refused_data_waits_for_new_data_and_a_refused_model_for_anything_new(
    ending: Ending, data: str, definition: str, decision: Decision
) -> None:
    last = ended(7, ending, data="d1", definition="c1")
    (noted,) = decide(POLICY, [ROWS], at(HOUR, ended=[last], data=data, definition=definition)).notes
    assert noted.decision is decision


def test_what_nobody_noted_refuses_nothing() -> None:
    (noted,) = decide(POLICY, [ROWS], at(HOUR, ended=[ended(7, Ending.DATA_REFUSED)])).notes
    assert noted.decision is Decision.ACCEPTED


def test_a_run_that_failed_is_tried_again_after_pauses_that_grow() -> None:
    starts = []
    for count in (1, 2, 3):
        standing = at(count * HOUR, ended=failures(count))
        decided = decide(POLICY, [], standing)
        assert fates(decided) == [(RETRY, "ACCEPTED", NEW)]
        assert decided.action == "nothing"
        waiting = replace(standing, waiting=Waiting(count + 1, count * HOUR))
        minutes = range(61)
        actions = [decide(POLICY, [], replace(waiting, now_us=count * HOUR + m * MINUTE)).action for m in minutes]
        starts.append(actions.index("start"))
    assert starts == [5, 10, 20]


def test_what_fires_in_the_pause_joins_the_retry() -> None:
    decided = decide(POLICY, [ROWS], at(HOUR, ended=failures(1)))
    assert fates(decided) == [(RETRY, "ACCEPTED", NEW), ("rows", "COALESCED", NEW)]


def test_a_run_by_hand_that_failed_is_left_to_the_hand() -> None:
    decided = decide(POLICY, [], at(HOUR, ended=[ended(1, Ending.FAILED, by_hand=True)]))
    assert (decided.notes, decided.action) == ((), "nothing")


def test_after_too_many_failures_the_circuit_opens_and_a_person_is_called_once() -> None:
    standing = at(9 * HOUR, ended=failures(5), waiting=Waiting(6, 8 * HOUR))
    decided = decide(POLICY, [ROWS], standing)
    assert fates(decided) == [(START, "EXPIRED", 6), ("rows", "SUPPRESSED", None)]
    assert decided.calls == (
        "the last 5 runs did not end well (5: failed), so the circuit is open until a run by hand does"
    )
    assert decided.action == "nothing"
    assert decide(POLICY, [ROWS], replace(standing, called=5)).calls is None


def test_a_run_by_hand_that_ends_well_closes_the_circuit() -> None:
    well = ended(6, Ending.TRAINED, 8 * HOUR, by_hand=True)
    assert decide(POLICY, [ROWS], at(9 * HOUR, ended=[well, *failures(5)])).action == "start"


def test_a_run_that_was_left_goes_on_before_another_begins() -> None:
    decided = decide(POLICY, [ROWS, NIGHTLY], at(0, left=Left(7, 1)))
    assert fates(decided) == [("rows", "COALESCED", 7), ("nightly", "ACCEPTED", NEW)]
    assert decided.action == "resume"


def test_a_run_whose_process_ends_again_and_again_is_given_up() -> None:
    actions = [decide(POLICY, [], at(0, left=Left(7, attempts))).action for attempts in range(1, ATTEMPTS + 1)]
    assert actions == ["resume", "resume", "give up"]


def test_what_is_seen_again_is_no_news() -> None:
    def noted(decision: Decision, reason: str = "r", run: int | None = None, edge: bool = False) -> Noted:
        return Noted("t", decision, reason, run, edge)

    idle = noted(Decision.IDLE)
    assert is_news(idle, None)
    assert not is_news(idle, idle)
    assert is_news(noted(Decision.IDLE, "other"), idle)
    assert not is_news(noted(Decision.COALESCED, "other", 7), noted(Decision.ACCEPTED, "r", 7))
    assert is_news(noted(Decision.COALESCED, "other", 8), noted(Decision.ACCEPTED, "r", 7))
    assert is_news(noted(Decision.COALESCED, "other", 7, edge=True), noted(Decision.ACCEPTED, "r", 7))
    assert not is_news(noted(Decision.IDLE, "tomorrow", edge=True), noted(Decision.ACCEPTED, "r", 7))


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"cool_down": timedelta(-1)}, "cool_down must be zero or positive, got -1 day."),
        ({"retry_after": timedelta(0)}, "retry_after must be positive, got 0:00:00."),
        ({"max_failures": 0}, "max_failures must be a whole number from 1 on, got 0."),
    ],
)
def test_a_policy_says_what_is_wrong_with_it(changed: dict[str, object], fault: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        RunPolicy(**changed)  # type: ignore[arg-type]  # wrong on purpose
    assert [f.message for f in caught.value.faults] == [f"RunPolicy: {fault}"]


@given(st.integers(1, 10**6))
def test_pauses_never_shrink_and_have_a_limit(failed: int) -> None:
    assert POLICY.retry_after <= POLICY.pause(failed) <= POLICY.pause(failed + 1) <= POLICY.retry_at_most


# any history


@dataclass
class Pipeline:
    """A pipeline whose runs end as they are told; what the shell does with decisions, in memory."""

    policy: RunPolicy
    now_us: int = 0
    data: int = 1
    number: int = 0
    waiting: Waiting | None = None
    left: Left | None = None
    ended: list[Ended] = field(default_factory=list)
    starts: list[tuple[int, int]] = field(default_factory=list)
    called: int | None = None
    memory: dict[str, Noted] = field(default_factory=dict)

    def standing(self, holds: Sequence[str]) -> Standing:
        return Standing(
            self.now_us, str(self.data), "c", self.waiting, self.left, tuple(self.ended), tuple(holds), self.called
        )

    def tick(self, readings: Sequence[Reading], holds: Sequence[str], ending: Ending | None) -> Decided:
        """One evaluation; `ending` None: the process of a run that starts is killed."""
        decided = decide(self.policy, readings, self.standing(holds))
        self.check(decided, readings, holds)
        if decided.expires is not None:
            self.waiting = None
        if decided.adds is not None:
            self.number += 1
            self.waiting = Waiting(self.number, self.now_us)
        for note in decided.notes:
            self.memory[note.trigger] = replace(note, run=self.number if note.run == NEW else note.run)
        if decided.calls is not None:
            self.called = self.ended[0].run
        if decided.action == "start":
            assert self.waiting is not None
            self.starts.append((self.now_us, self.waiting.run))
            self.go_on(Left(self.waiting.run, 1), ending)
            self.waiting = None
        elif decided.action == "resume":
            assert self.left is not None
            self.go_on(Left(self.left.run, self.left.attempts + 1), ending)
        elif decided.action == "give up":
            assert self.left is not None
            self.go_on(self.left, Ending.FAILED)
        return decided

    def go_on(self, run: Left, ending: Ending | None) -> None:
        self.left = run if ending is None else None
        if ending is not None:
            self.ended.insert(0, Ended(run.run, ending, self.now_us, False, str(self.data), "c"))

    def check(self, decided: Decided, readings: Sequence[Reading], holds: Sequence[str]) -> None:
        own = [
            note
            for note in decided.notes
            if note.decision is not Decision.EXPIRED and note.trigger not in (RETRY, START)
        ]
        assert [note.trigger for note in own] == [reading.trigger for reading in readings]
        accepted = [note for note in decided.notes if note.decision is Decision.ACCEPTED]
        assert len(accepted) == (decided.adds is not None)
        if decided.adds is not None:
            assert self.waiting is None or decided.expires == self.waiting.run
        joined = {note.run for note in decided.notes if note.decision is Decision.COALESCED}
        known = {self.waiting.run if self.waiting else NEW, self.left.run if self.left else NEW, NEW}
        assert joined <= known
        assert all(note.reason for note in decided.notes)
        if decided.action == "start":
            assert not holds
            assert self.left is None
        streak = [run.ending is not Ending.TRAINED for run in self.ended[: self.policy.max_failures]]
        if len(streak) == self.policy.max_failures and all(streak):
            assert decided.adds is None
            assert decided.action in ("nothing", "resume", "give up")


SEEN = st.lists(
    st.sampled_from([NIGHTLY, ROWS, FEW, replace(FEW, trigger="drift")]), max_size=3, unique_by=lambda r: r.trigger
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 30 * HOUR), SEEN, st.booleans(), st.booleans(), st.sampled_from([None, *Ending, Ending.TRAINED])
    ),
    max_size=40,
)  # fmt: skip
POLICIES = st.builds(
    RunPolicy,
    debounce=st.sampled_from([timedelta(0), timedelta(minutes=10)]),
    cool_down=st.sampled_from([timedelta(0), timedelta(hours=5)]),
    max_failures=st.integers(1, 3),
)


@given(POLICIES, STEPS)
def test_in_any_history_one_run_waits_at_most_and_each_is_started_once(
    policy: RunPolicy, steps: list[tuple[int, list[Reading], bool, bool, Ending | None]]
) -> None:
    pipeline = Pipeline(policy)
    for passed_us, readings, held, new_data, ending in steps:
        pipeline.now_us += passed_us
        pipeline.data += new_data
        last = pipeline.ended[0] if pipeline.ended else None
        before = len(pipeline.starts)
        decided = pipeline.tick(readings, ("late",) if held else (), ending)
        started = len(pipeline.starts) > before
        if started and last is not None and last.ending is Ending.FAILED:
            assert pipeline.now_us - last.ended_us >= policy.retry_after.total_seconds() * 10**6
        if decided.adds not in (None, RETRY) and last is not None and last.ending is Ending.DATA_REFUSED:
            assert last.data != str(pipeline.data)
    numbers = [run for _, run in pipeline.starts]
    assert numbers == sorted(set(numbers))


@given(POLICIES, STEPS, SEEN)
def test_looking_twice_at_the_same_tells_nothing_new(
    policy: RunPolicy, steps: list[tuple[int, list[Reading], bool, bool, Ending | None]], seen: list[Reading]
) -> None:
    pipeline = Pipeline(policy)
    for passed_us, readings, _, new_data, ending in steps[:10]:
        pipeline.now_us += passed_us
        pipeline.data += new_data
        pipeline.tick(readings, (), ending)
    levels = [replace(reading, edge=False) for reading in seen]
    for _ in range(3):  # a run that starts, or goes on, changes what is to be seen; held back, none does
        first = pipeline.tick(levels, ("late",), Ending.TRAINED)
    memory = dict(pipeline.memory)
    again = decide(policy, levels, pipeline.standing(("late",)))
    assert not [note for note in again.notes if is_news(note, memory[note.trigger])], first
