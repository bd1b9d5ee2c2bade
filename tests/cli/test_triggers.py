"""`tick` says what it did, and costs little when nothing is to be done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from featurestore.audit.layout import VECTORS
from featurestore.cli.app import app
from featurestore.errors import DefinitionError
from pipelines.rooms import predictions_folder
from tests.pipelines.ticks import opened
from tests.repository.test_imports import HEAVY

NIGHTLY = '[Schedule("0 3 1 1 *"), NewData("spend", min_rows=1_000_000), DataDrift(window=timedelta(days=7))]'
LIGHT = {"sqlalchemy"}  # the ledger's


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with opened(tmp_path) as shop:
        shop.click_until_new_year()
        shop.declare(NIGHTLY, schedule='"0 0 1 1 *"')
    return tmp_path


def featurestore(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["-C", str(root), *arguments])


def test_a_tick_says_what_it_did_and_the_next_one_loads_nothing_heavy(root: Path) -> None:
    first = featurestore(root, "tick")
    assert first.exit_code == 0, first.stderr
    lines = first.stdout.splitlines()
    assert lines[0].startswith("view spend, due at ")
    assert lines[0].endswith(": 216 rows")
    assert lines[1].startswith("risk: schedule 0 3 1 1 * UTC: IDLE: watched from ")
    assert lines[2] == ("risk: new data spend 1000000: IDLE: 216 of 1,000,000 rows in all, and no run has trained yet")
    code = (
        "import sys; sys.argv = ['featurestore', '-C', sys.argv[1], 'tick', '--json']\n"
        "from featurestore.cli import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    second = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True)
    assert json.loads(second.stdout)["pipelines"][0]["observations"] == []
    loaded = set(json.loads(second.stderr.splitlines()[-1].replace("'", '"')))
    assert loaded & (HEAVY - LIGHT) == set()


def test_what_failed_is_the_exit_code(root: Path) -> None:
    (root / "clicks.parquet").unlink()
    failed = featurestore(root, "tick", "--json")
    assert failed.exit_code == 2
    assert [one["state"] for one in json.loads(failed.stdout)["materialized"]] == ["FAILED"]


def test_labels_that_cannot_be_joined_are_told_and_are_the_exit_code(root: Path) -> None:
    with opened(root) as shop:
        shop.declare('[PerformanceDrop("roc_auc", below=0.6)]', schedule="None")
        (predictions_folder(shop.store) / VECTORS / "risk").mkdir(parents=True)  # of a model that nobody knows
    failed = featurestore(root, "tick")
    assert failed.exit_code == 2
    assert failed.stdout.splitlines() == [
        "risk: labels: FAILED: labels cannot be joined to predictions: Pipeline 'risk' has no model yet, so nothing "
        "was predicted; run it first.",
        "risk: performance roc_auc 0.6: IDLE: 0 of 1 windows are judged",
    ]


def test_a_definition_that_is_wrong_is_told_in_a_sentence(root: Path) -> None:
    (root / "defs" / "shop.py").write_text("from pipelines import NewData\nnews = NewData('a b', min_rows=0)\n")
    failed = featurestore(root, "tick")
    assert isinstance(failed.exception, DefinitionError)  # which `run` tells in its own words
    assert "NewData: min_rows must be a whole number from 1 on, got 0." in str(failed.exception)
