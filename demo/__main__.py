"""`python -m demo`: the main job on a real year of flights, in seven steps and under two minutes."""

from __future__ import annotations

import shutil
import sys
import time
from datetime import timedelta
from pathlib import Path

import polars as pl

from demo.calendar import DAYS, LAST_LANDING, SCORED, TRAINED, YEAR
from demo.days import KEYS, Day, live_day
from demo.flights import LATE_AFTER_MIN, Labelled, labelled_flights
from demo.learning import Comparison, compare, features_of
from demo.screen import say, show_code, step
from demo.sources import write_sources
from featurestore import FeatureStore
from featurestore.cli.definitions import print_plan
from featurestore.cli.offline import materialize_progress, print_report
from featurestore.cli.output import console, print_error, print_table
from featurestore.errors import FeatureStoreError, OnlineStoreError, SourceError

PROJECT = Path(__file__).resolve().parent.parent
SERVICE = "flight_delay_v1"
DATASET = "flight_delays"
MONTH = timedelta(days=30)


def main() -> int:
    """Run the seven steps in the project's folder and return the exit code."""
    began = time.perf_counter()
    try:
        run(PROJECT)
    except FeatureStoreError as error:
        print_error(error)
        return error.exit_code
    except OSError as error:
        print_error(SourceError(f"The demo cannot write its data below {PROJECT / 'data'}: {error}"))
        return SourceError.exit_code
    say(f"\nAll of it took {time.perf_counter() - began:.0f} s.")
    return 0


def run(root: Path) -> None:
    """The seven steps in the project at `root`, whose data of an earlier run is removed."""
    with step(1, "A real year of flights, in true instants"):
        flights = prepare(root)
    with FeatureStore(root) as store:
        with step(2, "Plan and apply what feature_defs/ declares"):
            declare(store)
        with step(3, f"Materialize month by month up to {TRAINED:%B %-d}"):
            fill(store)
        with step(4, "A training set as it was known, flight by flight"):
            training, scoring = training_set(store, flights)
        with step(5, "What the features are worth"):
            with console().status("Training three models"):
                comparison = compare(training, features_of(store, scoring, SERVICE), flights)
            show_comparison(comparison, training, scoring)
        with step(6, "The days after: online equals offline"):
            for instant in DAYS:
                day = live_day(store, SERVICE, flights, comparison.model, instant)
                show_day(day)
    with step(7, "What to try next"):
        farewell(_riskiest(day)[0])


def prepare(root: Path) -> pl.DataFrame:
    """Write the sources anew and return the flights."""
    for folder in (root / "data" / name for name in ("sources", "offline", "online")):
        if folder.exists():
            shutil.rmtree(folder)
    (root / "data" / "registry.db").unlink(missing_ok=True)
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


def training_set(store: FeatureStore, flights: pl.DataFrame) -> tuple[pl.DataFrame, Labelled]:
    """The rows to learn from, saved as a dataset; and the flights of the weeks after, with their features' history."""
    learned = labelled_flights(flights, YEAR, TRAINED)
    say(
        f"{learned.spine.height:,} flights scheduled before {TRAINED:%B %-d} have landed, {learned.late_share:.0%} of "
        f"them more than {LATE_AFTER_MIN} minutes late.\n"
        f"Without a label, and left out: {learned.cancelled:,} cancelled, {learned.diverted:,} diverted, "
        f"{learned.in_the_air:,} still in the air on {TRAINED:%B %-d}."
    )
    dataset = store.get_historical_features(learned.spine, SERVICE, timestamp="sched_dep").save(DATASET)
    training = pl.read_parquet(store.root / dataset.path)
    say(f"Saved dataset [bold]{dataset.name} v{dataset.version}[/]: {dataset.rows:,} rows, {training.width} columns.")
    with materialize_progress() as progress:
        store.materialize(SCORED, progress=progress)
    return training, labelled_flights(flights, TRAINED, SCORED, known_at=SCORED + LAST_LANDING)


def show_comparison(comparison: Comparison, training: pl.DataFrame, scoring: Labelled) -> None:
    """What each model promises and keeps."""
    say(
        f"The same trees on {training.height:,} flights, scored on the {scoring.spine.height:,} that landed of those "
        f"scheduled from {TRAINED:%B %-d} up to {SCORED:%B %-d}:"
    )
    print_table(
        ("the model knows", "ROC AUC", "on duty"),
        [
            ("the schedule", *2 * (f"{comparison.schedule:.3f}",)),
            (f"and the features of {SERVICE}", *2 * (f"{comparison.store:.3f}",)),
            ("and the day's mean delays, joined by date", f"{comparison.leaky:.3f}", f"{comparison.leaky_live:.3f}"),
        ],
    )
    say(
        f"The store's features gain [bold]{comparison.gain:+.3f}[/]. The leaky join would have pretended "
        f"{comparison.leaky - comparison.schedule:+.3f}: a day's mean knows what lands later that day.\nOn duty that "
        f"model gets the mean so far, and falls to {comparison.leaky_live:.3f}."
    )


def show_day(day: Day) -> None:
    """The departures rated riskiest, and how the answers compare with history."""
    verdict = "[bold green]all equal[/]" if not day.different else f"[bold red]{day.different:,} differ[/]"
    say(
        f"\n[bold]{day.instant:%A, %B %-d}[/], {day.rows:,} new rows up to 5 pm in New York. {day.departures.height} "
        f"departures in the next hour, one lookup each, {day.lookup_us:,.0f} µs in the median.\n"
        f"{day.cells:,} values and statuses compared with history: {verdict}."
    )
    print_table(
        ("riskiest", "route", "scheduled", "late with", "what happened"),
        [
            (
                f"{flight['carrier']} {flight['flight']}",
                flight["route"],
                f"{flight['sched_dep']:%H:%M} UTC",
                f"{flight['probability']:.0%}",
                _fate(flight),
            )
            for flight in _riskiest(day)
        ],
    )
    if day.different:
        raise OnlineStoreError(
            f"{day.different:,} of {day.cells:,} online answers of {day.instant:%B %-d} differ from history: "
            "the online and the offline store no longer agree; please report it."
        )


def _riskiest(day: Day) -> list[dict[str, object]]:
    """The three departures most likely to be late, the likeliest first."""
    return day.departures.sort("probability", "flight_id", descending=[True, False]).head(3).to_dicts()


def _fate(flight: dict[str, object]) -> str:
    match flight:
        case {"cancelled": True}:
            return "cancelled"
        case {"diverted": True}:
            return "diverted"
        case {"arr_delay": int(delay)}:
            return f"{abs(delay)} min {'late' if delay > 0 else 'early'}" if delay else "on time"
        case _:
            return "unknown"


def farewell(flight: dict[str, object]) -> None:
    """Commands that work on what is there now; the lookup asks again for `flight`, one of the last day."""
    entity = ",".join(f"{key}={flight[key]}" for key in KEYS)
    at = f"{flight['sched_dep']:%Y-%m-%dT%H:%M:%SZ}"
    query = "SELECT carrier, count(*) AS flights, avg(arr_delay) AS delay FROM landings GROUP BY carrier ORDER BY delay"
    spine = f"SELECT * FROM flights WHERE sched_dep BETWEEN '{TRAINED.isoformat(' ')}' AND '{SCORED.isoformat(' ')}'"
    command = _command()
    show_code(
        f"{command} describe {SERVICE}\n"
        f'{command} historical {SERVICE} --timestamp sched_dep --spine "{spine}"\n'
        f"{command} online {SERVICE} --entity {entity} --request sched_dep={at} --at {at}\n"
        f'{command} sql "{query}"\n'
        f"{command} quarantine list\n"
        f"{command} status"
    )


def _command() -> str:
    """The `featurestore` command beside this interpreter, as one would type it in the project's folder."""
    found = Path(sys.executable).parent / "featurestore"
    return str(found.relative_to(PROJECT)) if found.is_relative_to(PROJECT) else "featurestore"


if __name__ == "__main__":
    sys.exit(main())
