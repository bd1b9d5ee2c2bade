"""`python -m demo`: the main job on a real year of flights, and a model kept good, in nine steps and two minutes."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import polars as pl

from demo.calendar import DAYS, LAST_LANDING, SCORED, TRAINED, YEAR
from demo.days import live_day
from demo.flights import LATE_AFTER_MIN, labelled_flights
from demo.learning import Comparison, compare, features_of
from demo.report import PLAIN, SERVICE, show_comparison, show_day, show_next
from demo.retraining import ask_champion, first_model, look_again, tell_why
from demo.screen import say, step, waiting
from demo.serving import serving
from demo.sources import write_sources
from featurestore import FeatureStore
from featurestore.cli.definitions import print_plan
from featurestore.cli.offline import materialize_progress, print_report
from featurestore.cli.output import print_error, print_table
from featurestore.errors import FeatureStoreError, SourceError

PROJECT = Path(__file__).resolve().parent.parent
DATASET = "flight_delays"
MADE = ("sources", "offline", "online", "pipelines", "predictions")
MONTH = timedelta(days=30)
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


def main() -> int:
    """Run the nine steps in the project's folder and return the exit code."""
    began = time.perf_counter()
    try:
        run(PROJECT)
    except FeatureStoreError as error:
        print_error(error)
        return error.exit_code
    except OSError as error:
        print_error(SourceError(f"The demo cannot write its data below {PROJECT / 'data'}: {error}"))
        return SourceError.exit_code
    except KeyboardInterrupt:
        say("\nStopped. The next run begins anew.")
        return INTERRUPTED
    say(f"\nAll of it took {time.perf_counter() - began:.0f} s.")
    return 0


def run(root: Path) -> None:
    """The nine steps in the project at `root`, whose data of an earlier run is removed."""
    with step(1, "A real year of flights, in true instants"):
        flights = prepare(root)
    with ExitStack() as stack:
        store = stack.enter_context(FeatureStore(root))
        with step(2, "Plan and apply what feature_defs/ declares"):
            declare(store)
        with step(3, f"Materialize month by month up to {TRAINED:%B %-d}"):
            fill(store)
        with step(4, "A training set as it was known, flight by flight"):
            training = training_set(store, flights)
        with step(5, "What the features are worth"):
            comparison = learn(store, flights, training)
        with step(6, "A model goes live, through its gates"):
            first_model(store)
            url = stack.enter_context(serving(root))
            ask_champion(store, url, flights, SCORED)
        with step(7, "The days after: online equals offline"):
            for instant in DAYS:
                with waiting(f"Living through {instant:%A, %B %-d}"):
                    day = live_day(store, SERVICE, flights, comparison.model, instant)
                show_day(day)
        with step(8, "It trains itself anew, and says why"):
            look_again(store)
            ask_champion(store, url, flights, DAYS[-1])
            tell_why(store)
    with step(9, "What to try next"):
        show_next(root, day)


def prepare(root: Path) -> pl.DataFrame:
    """Write the sources anew and return the flights."""
    for folder in (root / "data" / name for name in MADE):
        if folder.exists():
            shutil.rmtree(folder)
    (root / "data" / "registry.db").unlink(missing_ok=True)
    with waiting("Turning wall clocks into instants"):
        files = write_sources(root / "data" / "sources")
    print_table(("source", "rows"), [(str(file.path.relative_to(root)), file.rows) for file in files])
    return pl.read_parquet(root / "data" / "sources" / "flights.parquet")


def declare(store: FeatureStore) -> None:
    """Show what apply would change, and apply it."""
    planned = store.plan()
    print_plan(planned)
    store.apply(planned)
    say("[bold green]Applied.[/] The registry knows it now; nothing is computed yet.")


def fill(store: FeatureStore) -> None:
    """Materialize up to the training date."""
    with materialize_progress() as progress:
        report = store.materialize(TRAINED, step=MONTH, progress=progress)
    print_report(report)


def training_set(store: FeatureStore, flights: pl.DataFrame) -> pl.DataFrame:
    """The rows to learn from, saved as a dataset."""
    learned = labelled_flights(flights, YEAR, TRAINED)
    say(
        f"{learned.spine.height:,} flights scheduled before {TRAINED:%B %-d} have landed, {learned.late_share:.0%} of "
        f"them more than {LATE_AFTER_MIN} minutes late."
    )
    say(
        f"Without a label, and left out: {learned.cancelled:,} cancelled, {learned.diverted:,} diverted, "
        f"{learned.in_the_air:,} still in the air on {TRAINED:%B %-d}."
    )
    with waiting("Looking back from each departure"):
        dataset = store.get_historical_features(learned.spine, SERVICE, timestamp="sched_dep").save(DATASET)
    training = pl.read_parquet(store.root / dataset.path)
    say(f"Saved dataset [bold]{dataset.name} v{dataset.version}[/]: {dataset.rows:,} rows, {training.width} columns.")
    return training


def learn(store: FeatureStore, flights: pl.DataFrame, training: pl.DataFrame) -> Comparison:
    """Four models of the training set, scored on the weeks after, which the store lives through first."""
    with materialize_progress() as progress:
        store.materialize(SCORED, progress=progress)
    scoring = labelled_flights(flights, TRAINED, SCORED, known_at=SCORED + LAST_LANDING)
    say(
        f"The store goes on to {SCORED:%B %-d}. The same trees learn from the {training.height:,} flights, and are "
        f"scored on the {scoring.spine.height:,} that landed of those scheduled since:"
    )
    with waiting("Training four models"):
        plain = [name for name, _ in store.lookup_plan(PLAIN).outputs]
        comparison = compare(training, features_of(store, scoring, SERVICE), plain, flights)
    show_comparison(comparison)
    return comparison


if __name__ == "__main__":
    sys.exit(main())
