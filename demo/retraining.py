"""A training pipeline on duty: its first model, approved by a person, and the next one, which it trains by itself."""

from __future__ import annotations

import time
from datetime import datetime

import polars as pl

from demo.calendar import ASKED
from demo.screen import say, waiting
from demo.serving import predict
from featurestore import FeatureStore
from featurestore.cli.output import print_table
from featurestore.cli.pipeline import step_progress
from featurestore.cli.pipeline_views import show_gate
from featurestore.cli.triggers import tick_lines
from featurestore.errors import PipelineError
from pipelines.ledger.records import CHAMPION_ALIAS
from pipelines.promotion import approve
from pipelines.rooms import PipelineRooms
from pipelines.running import run_pipeline
from pipelines.triggers.explaining import explain
from pipelines.triggers.plans import current_plans
from pipelines.triggers.starting import open_ticker

PIPELINE = "late_flight"
_EVENTS = 20
_LOOKS, _PAUSE_SECONDS = 100, 0.1
_SHOWN = 3


def first_model(store: FeatureStore) -> None:
    """Train a model behind its gates, show what they found, and approve it."""
    say(
        f"[bold]{PIPELINE}[/] of feature_defs/training.py learns from one flight in ten. Its data and its model each "
        "face a gate, which first has to refuse copies that are broken on purpose:"
    )
    with step_progress() as progress:
        report = run_pipeline(store, PIPELINE, progress=progress)
    for gate in report.gates:
        show_gate(gate)
    took = sum(step.duration_us for step in report.steps) / 1e6
    say(f"Run {report.run.number} took {took:.1f} s. {report.run.outcome}")
    if report.model is None:
        raise PipelineError(f"Run {report.run.number} of {PIPELINE} left no model: {report.run.outcome}")
    with waiting("A server process of its own tries the stored file"):
        approved = approve(report.rooms, PIPELINE, report.model.version, "the first one; its gates look right")
    say(
        f"A person says yes. {approved.report.checks[0]['reason']} "
        f"[bold]{PIPELINE}@{approved.model.version}[/] is the champion."
    )


def ask_champion(store: FeatureStore, url: str, flights: pl.DataFrame, instant: datetime) -> None:
    """Ask the server for the departures of the hour after an instant, and show those rated riskiest.

    A server that still answers by the champion before is asked again, for a while.
    """
    due = flights.filter(pl.col("sched_dep").is_between(instant, instant + ASKED, closed="left"))
    champion = PipelineRooms(store).ledger.alias(PIPELINE, CHAMPION_ALIAS)
    with waiting("The server loads the champion"):
        told = predict(url, PIPELINE, due, instant)
        for _ in range(_LOOKS):
            if told.version == champion:
                break
            time.sleep(_PAUSE_SECONDS)
            told = predict(url, PIPELINE, due, instant)
    say(
        f"[bold]POST /v1/models/{PIPELINE}/predict[/] for the {due.height} departures in the hour after "
        f"{instant:%B %-d, %H:%M} UTC, answered by v{told.version}:"
    )
    rated = due.with_columns(probability=pl.Series(told.probabilities))
    riskiest = rated.sort("probability", "flight_id", descending=[True, False]).head(_SHOWN)
    print_table(
        ("riskiest", "route", "scheduled", "late with"),
        [
            (
                f"{row['carrier']} {row['flight']}",
                row["route"],
                f"{row['sched_dep']:%H:%M} UTC",
                f"{row['probability']:.0%}",
            )
            for row in riskiest.iter_rows(named=True)
        ],
    )


def look_again(store: FeatureStore) -> None:
    """What a scheduler does every few minutes: a tick, which trains anew when a trigger says so."""
    say("[bold]featurestore tick[/] looks at the triggers once:")
    with waiting("A trigger fires: training, verifying and promoting the next version"):
        report = open_ticker(store).tick()
    for line in tick_lines(report):
        say(f"  {line}")


def tell_why(store: FeatureStore) -> None:
    """The answer of `featurestore pipeline why`."""
    ledger = PipelineRooms(store).ledger
    plan = current_plans(store.root, store.configuration.definitions, ledger).plan(PIPELINE)
    say(f"[bold]featurestore pipeline why {PIPELINE}[/] answers:")
    story = explain(ledger, plan, store.now_us(), None, _EVENTS)
    for sentence in (*story.answer, story.champion):
        say(f"  {sentence}")
