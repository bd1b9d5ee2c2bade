"""Versions on the command line: what a change costs, what serves, and one command back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_commands import answer, run
from tests.store.projects import PURCHASES, day, define, make_project, purchases
from tests.store.test_versions import TENFOLD

END = ("--end", day(12).isoformat())


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Version 1 of `last`, materialized; version 2 is declared."""
    make_project(tmp_path, PURCHASES, purchases=purchases())
    run(tmp_path, "apply")
    run(tmp_path, "materialize", *END)
    define(tmp_path, TENFOLD)
    return tmp_path


def items(shop: Path) -> int:
    [found] = answer(shop, "online", "last:items", "-e", "customer=a", "--at", day(13).isoformat())
    value: int = found["features"]["items"]["value"]
    return value


def test_a_change_is_planned_applied_built_and_rolled_back(shop: Path) -> None:
    said = run(shop, "plan")
    assert "~ last v1 -> v2  ~items; must be backfilled; touches service buyer" in said
    assert "To materialize: last, 3 rows, less than 1 s (500,000 rows/s, the default)." in said
    assert "last serves v1: nothing of it is materialized; run `featurestore materialize`." in run(shop, "apply")
    assert "last v2 does not serve: nothing of it is materialized" in run(shop, "status")
    assert items(shop) == 2
    said = run(shop, "materialize", *END)
    assert "last@1" in said
    assert "view last: v2 serves in place of v1" in said
    assert items(shop) == 20
    run(shop, "materialize", "--end", day(13).isoformat())
    said = run(shop, "rollback", "last", "--reason", "too many")
    assert "view last: v1 serves in place of v2" in said
    assert "v1 stands at 2024-01-12T00:00:00Z, 2024-01-13T00:00:00Z is the newest" in said
    assert items(shop) == 2
    assert "last v2 does not serve: it was rolled back; `featurestore switch last` ends that." in run(shop, "status")
    assert "view last: v2 serves in place of v1" in run(shop, "switch", "last", "--reason", "right after all")
    assert items(shop) == 20


def test_machines_are_told_the_same(shop: Path) -> None:
    [change] = [change for change in answer(shop, "plan")["changes"] if change["kind"] == "view"]
    assert (change["from_version"], change["version"], change["models"]) == (1, 2, [])
    assert change["cost"] == {"rows": 3, "seconds": 0.1, "basis": "500,000 rows/s, the default"}
    [waiting] = answer(shop, "apply")["waiting"]
    assert (waiting["kind"], waiting["name"], waiting["serves"], waiting["applied"]) == ("view", "last", 1, 2)
    uses = [(view["version"], view["uses"], view["waits"] is None) for view in answer(shop, "status")]
    assert uses == [(1, ["serves"], True), (2, ["applied"], False)]
    report = answer(shop, "materialize", *END)
    assert [(view["view"], view["version"]) for view in report["views"]] == [("last@1", 1), ("last@2", 2)]
    [move] = report["moves"]
    assert (move["name"], move["from_version"], move["to_version"]) == ("last", 1, 2)
    assert report["waiting"] == []
    [move] = answer(shop, "rollback", "last", "--reason", "too many")["moves"]
    assert (move["reason"], move["to_version"]) == ("too many", 1)


def test_a_view_is_described_with_its_versions(shop: Path) -> None:
    run(shop, "apply")
    run(shop, "materialize", *END)
    versions = answer(shop, "describe", "last")["versions"]
    assert [(version["version"], version["use"]) for version in versions] == [
        (2, "serves, applied"), (1, "rollback target")
    ]  # fmt: skip
    said = run(shop, "describe", "last")
    assert "rollback target" in said
    assert "v1" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rollback", "last", "--reason", "x"), "No version of view 'last' before v1 ever served"),
        (("rollback", "lost", "--reason", "x"), "There is no view 'lost'"),
        (("switch", "last", "--reason", "x"), "View 'last' v1 serves already."),
        (("rollback", "last", "--reason", ""), "The reason is empty"),
        (("online", "last@9:items", "-e", "customer=a"), "There is no version of view 'last@9'. Available: last@1."),
    ],
)
def test_wrong_input_gets_one_sentence(shop: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in run(shop, *arguments, code=2)
