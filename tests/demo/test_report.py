"""What the demo prints: commands that run as they are, and a disagreement that ends it."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest
from typer.testing import CliRunner

from demo.days import Day
from demo.report import next_commands, show_day
from featurestore import FeatureStore
from featurestore.cli.app import app
from featurestore.errors import OnlineStoreError

NOON = datetime(2013, 1, 3, 17, tzinfo=UTC)


@pytest.fixture
def day(flights: pl.DataFrame) -> Day:
    departures = flights.filter(pl.col("sched_dep") >= NOON).head(2).with_columns(probability=pl.Series([0.1, 0.9]))
    return Day(instant=NOON, rows=10, departures=departures, cells=68, different=0, lookup_us=900.0)


def test_every_command_to_try_next_runs(store: FeatureStore, day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(store.root)
    store.materialize(NOON)
    commands = [shlex.split(arguments.replace("\\\n", "")) for _, arguments in next_commands(day)]
    assert [command[0] for command in commands] == [
        *("describe", "historical", "online", "sql", "quarantine", "pipeline", "pipeline", "status"),
    ]
    for command in commands:
        shown = [*command, "--help"] if command[0] == "pipeline" else command  # three days are too few to train on
        result = CliRunner().invoke(app, shown)
        assert (result.exit_code, result.exception) == (0, None), command


def test_no_line_of_a_command_is_wider_than_a_terminal(day: Day) -> None:
    shown = [f".venv/bin/featurestore {arguments}" for _, arguments in next_commands(day)]
    assert max(len(line) for command in shown for line in command.splitlines()) < 80


def test_the_day_shows_the_riskiest_first(day: Day, capsys: pytest.CaptureFixture[str]) -> None:
    show_day(day)
    shown = capsys.readouterr().out
    first, second = (f"{row['carrier']} {row['flight']}" for row in day.departures.reverse().iter_rows(named=True))
    assert shown.index(first) < shown.index(second)
    assert "all equal" in shown


def test_a_disagreement_ends_the_demo(day: Day, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OnlineStoreError, match="3 of 68 online answers of January 3 differ from history"):
        show_day(replace(day, different=3))
    assert "3 differ" in capsys.readouterr().out
