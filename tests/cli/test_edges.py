"""What commands show and how they end where nothing is as it should be."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_commands import answer, run
from tests.store.projects import PURCHASES, make_project, purchases


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project, applied and materialized."""
    folder = tmp_path_factory.mktemp("projects")
    run(folder, "init", "shop")
    run(folder / "shop", "apply")
    run(folder / "shop", "materialize")
    return folder / "shop"


def _alone(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-c", "from featurestore.cli import main; main()", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_an_output_that_knows_ascii_alone_gets_another_sign(shop: Path) -> None:
    done = _alone(shop, "stats", "last_purchase", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "?" in done.stdout
    done = _alone(shop, "sql", "SELECT '5 €' AS price", "--json", PYTHONIOENCODING="latin-1")
    assert json.loads(done.stdout) == [{"price": "5 €"}]


def test_a_name_that_is_not_applied_is_told_whatever_the_online_store_does(shop: Path, tmp_path: Path) -> None:
    asked = ("historical", "buyer", "--spine", "data/labels.parquet")
    done = _alone(shop, *asked, FEATURESTORE_ONLINE__URL="redis://127.0.0.1:1")
    assert (done.returncode, done.stderr) == (2, "There is no service 'buyer'. Available: buyer_v1.\n")
    run(tmp_path, "init", "new")
    said = run(tmp_path / "new", "online", "buyer_v1", "--entity", "customer=c01", code=2)
    assert said == "There is no service 'buyer_v1'. Available: none; run `featurestore apply` if it is declared.\n"


def test_the_status_tells_what_is_offline_while_the_online_store_is_down(shop: Path) -> None:
    done = _alone(shop, "status", "--json", FEATURESTORE_ONLINE__URL="redis://127.0.0.1:1")
    [view] = json.loads(done.stdout)
    assert (done.returncode, view["rows"], view["online_keys"]) == (0, 600, None)
    assert "redis://127.0.0.1:1 is not running there" in view["online_error"]
    told = _alone(shop, "status", FEATURESTORE_ONLINE__URL="redis://127.0.0.1:1").stdout
    assert "not known" in told
    assert view["online_error"] in " ".join(told.split())


def test_what_no_room_foresaw_is_never_taken_for_a_gate_that_refused(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object) -> None:
        raise ZeroDivisionError("x")

    monkeypatch.setattr("featurestore.store.FeatureStore.plan", broken)
    assert "ZeroDivisionError: x. This is a fault of featurestore" in run(shop, "plan", code=3)


def test_a_query_that_was_interrupted_and_a_disk_that_is_full_end_without_a_traceback(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception] = [RuntimeError("Query interrupted"), OSError(errno.ENOSPC, "No space left on device")]
    monkeypatch.setattr("featurestore.store.FeatureStore.plan", lambda _: (_ for _ in ()).throw(errors.pop(0)))
    assert run(shop, "plan", code=130) == ""
    monkeypatch.setattr("featurestore.cli.app._write_no_more", lambda: None)
    assert run(shop, "plan", code=2) == "No space left on device: free space, or grant rights, and run again.\n"


def test_values_of_any_type_are_shown_as_they_are(shop: Path) -> None:
    asked = "SELECT 2013 AS built, {'a': [1]} AS s, TIME '10:00' AS t, ':x: [b]' AS \":x: [b]\""
    assert answer(shop, "sql", asked) == [{"built": 2013, "s": {"a": [1]}, "t": "10:00:00", ":x: [b]": ":x: [b]"}]
    said = run(shop, "sql", asked)
    assert "2013" in said
    assert said.count(":x: [b]") == 2
    told = run(shop, "sql", "SELECT INTERVAL 1 DAY AS i", code=2)
    assert "i month_day_nano_interval) has a type without a place in a frame; convert it" in told


def test_a_service_is_described_with_what_to_ask_it_with(tmp_path: Path) -> None:
    with make_project(tmp_path, PURCHASES, purchases=purchases()) as store:
        store.apply()
    said = run(tmp_path, "describe", "buyer").splitlines()
    assert said[1:3] == ["  join keys    customer String", "  request      price Float64"]
