"""Whatever kills a process in the middle of a run or of a person's command: what follows finds one consistent state."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from featurestore.errors import InputError
from pipelines.ledger.records import AliasMove, ModelState, RunState, StepState
from pipelines.models.states import FOLLOWING
from pipelines.promotion import roll_back
from pipelines.running import run_pipeline
from tests.pipelines.killing import ACTS, Point, commit, killed
from tests.pipelines.projects import Shop, day, opened, served_here

STEPS = ["extract", "validate", "split", "train", "evaluate", "compare", "register", "verify", "promote"]
LEDGER, VERSIONS = "pipelines.ledger.ledger", "pipelines.ledger.versions"
POINTS = {
    "while the dataset is saved": Point("featurestore.datasets.room", "file_digest", 2),
    "while statistics are kept": Point("pipelines.artifacts", "write_whole", 1),
    "while the model is fitted": Point("pipelines.steps.train", "train", 1),
    "while the version is registered": Point(VERSIONS, "set_state", 1),
    "before a registration is a step": Point(LEDGER, "Ledger.commit", 7),
    "before it is verified": Point("pipelines.models.registry", "ModelRegistry.verified", 1),
    "after it is verified": Point("pipelines.models.registry", "ModelRegistry.verified", 1, after=True),
    "while the champion changes": Point(VERSIONS, "move_alias", 1, after=True),
    "while the old champion retires": Point(VERSIONS, "set_state", 3, after=True),
    "after the champion changed": Point("pipelines.models.registry", "ModelRegistry.promote", 1, after=True),
    "before the run ends": Point(LEDGER, "Ledger.end", 1),
    **{f"after {step}": Point(LEDGER, "Ledger.commit", nth, after=True) for nth, step in enumerate(STEPS, start=1)},
}


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_goes_on_after_its_last_committed_step(shop: Shop, point: str) -> None:
    assert killed(shop.root, "run", POINTS[point])
    committed, moves = shop.rooms.ledger.steps(2), alias_log(shop)
    report = shop.run()
    assert report.run.state is RunState.SUCCEEDED
    assert report.run.outcome == "returned@2 is the champion in the place of v1."
    assert report.steps[: len(committed)] == committed
    assert Counter(step.name for step in report.steps) == dict.fromkeys(STEPS, 1)
    assert [step.attempt for step in report.steps[len(committed) :]] == [3] * (len(STEPS) - len(committed))
    assert [attempt.error for attempt in shop.rooms.ledger.attempts(2)] == [
        "another attempt went on with the run", None,
    ]  # fmt: skip
    assert shop.states() == {1: "RETIRED", 2: "CHAMPION"}
    assert len(told(shop, moves)) == 2


def test_a_run_whose_process_is_killed_while_its_page_is_written_has_ended(shop: Shop) -> None:
    assert killed(shop.root, "run", Point("pipelines.run_report", "RunReport.write_page", 1))
    assert shop.rooms.ledger.runs()[0].state is RunState.SUCCEEDED
    moves = alias_log(shop)
    assert shop.run().run.outcome == "Champion v2 learned from the same data with the same code."
    assert told(shop, moves) == moves


@pytest.fixture
def candidate(first_candidate: Path, tmp_path: Path) -> Path:
    """A project whose first model waits for a person."""
    return shutil.copytree(first_candidate, tmp_path / "candidate")


@pytest.fixture
def approved(shop: Shop) -> Path:
    """A project whose second model was approved by its gate, when the run that made it was broken off."""

    def broken_off(step: str, state: StepState | None) -> None:
        if (step, state) == ("register", StepState.DONE):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_pipeline(shop.store, "returned", progress=broken_off, server=served_here(shop.root))
    assert shop.states() == {1: "CHAMPION", 2: "APPROVED"}
    return shop.root


@pytest.fixture
def second(shop: Shop) -> Path:
    """A project whose second model is live."""
    shop.run()
    return shop.root


COMMANDS = {  # what a project is made of, the states in the end, and how often its champion has changed then
    "approve": ("candidate", {1: "CHAMPION"}, 1),
    "promote": ("approved", {1: "RETIRED", 2: "CHAMPION"}, 2),
    "rollback": ("second", {1: "CHAMPION", 2: "RETIRED"}, 3),
}
MOVING = (Point(VERSIONS, "move_alias", 1), Point(VERSIONS, "move_alias", 1, after=True))


def killed_somewhere(root: Path, act: str, points: Iterator[Point]) -> Iterator[Path]:
    """Copies of a project on which a command was killed at each of these points, up to the first it never came to."""
    for place, point in enumerate(points):
        copy = shutil.copytree(root, root.with_name(f"killed{place}"))
        if not killed(copy, act, point):
            return
        yield copy


def commits() -> Iterator[Point]:
    """In the middle of the change of the champion, and right after each commit."""
    yield from MOVING
    yield from map(commit, range(1, 100))


def statements() -> Iterator[Point]:
    """Before each statement that is sent to the registry's database."""
    yield from (Point("sqlalchemy.engine", "Connection.execute", nth) for nth in range(1, 1_000))


@pytest.mark.parametrize("points", [commits, pytest.param(statements, marks=pytest.mark.soak)])
@pytest.mark.parametrize("act", COMMANDS)
def test_a_killed_command_that_is_repeated_leaves_one_champion(
    request: pytest.FixtureRequest, act: str, points: object
) -> None:
    made, states, moved = COMMANDS[act]
    assert callable(points)
    seen = 0
    for seen, root in enumerate(killed_somewhere(request.getfixturevalue(made), act, points()), start=1):  # noqa: B007
        store, clock = opened(root, day(22, 12))
        with store:
            shop = Shop(root, store, clock)
            moves = alias_log(shop)
            try:
                ACTS[act](shop)
            except InputError as error:  # the last commit was made, so nothing is left but to tell of it
                assert str(error).endswith("is the champion already.")  # noqa: PT017
            assert shop.states() == states
            assert len(told(shop, moves)) == moved
            page = root / f"data/pipelines/runs/{shop.rooms.ledger.alias('returned', 'champion')}.html"
            assert "became the champion" in page.read_text(encoding="utf-8")
    assert seen >= (3 if act == "rollback" else 5)


@pytest.fixture
def third(shop: Shop) -> Path:
    """A project whose third model is live."""
    shop.run()
    shop.go_to(day(26, 12))
    shop.run()
    assert shop.states() == {1: "RETIRED", 2: "RETIRED", 3: "CHAMPION"}
    return shop.root


PAGE = "RunReport.write_page"
BACK = {  # where it is killed, and whether the champion had moved by then
    "before the champion moves": (Point(VERSIONS, "move_alias", 1), False),
    "while the champion moves": (Point(VERSIONS, "begin_rollback", 1, after=True), False),
    "after the champion moved": (commit(1), True),
    "while the first page is written": (Point("pipelines.run_report", PAGE, 1), True),
    "while the last page is written": (Point("pipelines.run_report", PAGE, 2, after=True), True),
    "before it is finished": (Point(VERSIONS, "finish_rollback", 1, after=True), True),
}


def test_a_rollback_by_one_that_is_killed_and_repeated_goes_back_by_one(third: Path) -> None:
    for place, (point, moved) in enumerate(BACK.values()):
        root = shutil.copytree(third, third.with_name(f"back{place}"))
        assert killed(root, "one back", point)
        store, clock = opened(root, day(26, 12))
        with store:
            shop = Shop(root, store, clock)
            moves = alias_log(shop)
            assert len(moves) == 3 + moved
            done = roll_back(shop.rooms, "returned", None, "again")
            assert (done.broken_off, done.move.reason) == ((True, "odd") if moved else (False, "again"))
            assert shop.states() == {1: "RETIRED", 2: "CHAMPION", 3: "RETIRED"}
            assert len(told(shop, moves)) == 4
            for number, says in ((2, "became the champion in the place of v3, rolled back"), (3, "RETIRED")):
                assert says in (root / f"data/pipelines/runs/{number}.html").read_text(encoding="utf-8")
            assert not roll_back(shop.rooms, "returned", None, "odd too").broken_off
            assert shop.states() == {1: "CHAMPION", 2: "RETIRED", 3: "RETIRED"}


def test_a_rollback_to_another_version_finishes_what_was_broken_off(third: Path) -> None:
    assert killed(third, "one back", commit(1))
    store, clock = opened(third, day(26, 12))
    with store:
        shop = Shop(third, store, clock)
        done = roll_back(shop.rooms, "returned", 1, "all the way")
        assert (done.broken_off, done.move.from_version, done.move.to_version) == (False, 2, 1)
        assert "RETIRED" in (third / "data/pipelines/runs/3.html").read_text(encoding="utf-8")
        with pytest.raises(InputError, match="is the champion already"):
            roll_back(shop.rooms, "returned", 1, "all the way")


def test_a_rollback_that_was_finished_is_not_told_from_a_first_one(third: Path) -> None:
    assert killed(third, "one back", commit(2))  # all is done, but for saying so
    store, clock = opened(third, day(26, 12))
    with store:
        done = roll_back(Shop(third, store, clock).rooms, "returned", None, "again")
    assert (done.broken_off, done.move.to_version) == (False, 1)


def alias_log(shop: Shop) -> tuple[AliasMove, ...]:
    return tuple(reversed(shop.rooms.ledger.alias_log("returned")))


def told(shop: Shop, before: tuple[AliasMove, ...]) -> tuple[AliasMove, ...]:
    """The log of the alias, which has all that it had before, and agrees with itself and with the states."""
    ledger, moves = shop.rooms.ledger, alias_log(shop)
    assert moves[: len(before)] == before
    assert all(one.to_version == other.from_version for one, other in pairwise(moves))
    live = [model.version for model in ledger.models("returned") if model.state is ModelState.CHAMPION]
    assert live == [moves[-1].to_version] == [ledger.alias("returned", "champion")]
    for model in ledger.models("returned"):
        changes = tuple(reversed(ledger.state_log("returned", model.version)))
        assert all(change.to_state in FOLLOWING[change.from_state] for change in changes if change.from_state)
        assert all(one.to_state == other.from_state for one, other in pairwise(changes))
        assert changes[-1].to_state is model.state
    return moves
