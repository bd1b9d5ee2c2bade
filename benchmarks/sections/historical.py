"""Point-in-time retrieval of ten features for a large spine, to Parquet."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from benchmarks.contest import REPOSITORY, Sample, Standing, hold, module, run
from benchmarks.contestants.history_files import stored_table
from benchmarks.inputs import write_history
from benchmarks.options import Options
from benchmarks.report import Number, Section, Target, table
from featurestore import FeatureStore

_END = datetime(2026, 1, 1, tzinfo=UTC)
_NUMBERS = (
    Number("seconds", "seconds", ranged=True),
    Number("cpu_seconds", "CPU seconds"),
    Number("peak_mb", "peak MB", ",.0f"),
)


def measure(options: Options) -> Section:
    """Prepare what is missing, let all answer in turns, compare their answers."""
    place = options.workspace / "historical"
    _prepare(options)
    outputs = place / "answers"
    outputs.mkdir(exist_ok=True)
    files = {name: outputs / f"{name}.parquet" for name in ("handwritten", "featurestore", "feast")}
    standings = hold(
        (
            options.ours("read", "read_history", "the same columns read, nothing else", place, options.threads),
            options.ours(
                "handwritten",
                "handwritten_history",
                "best exact DuckDB query we know",
                *(place, options.threads, files["handwritten"]),
            ),
            options.ours(
                "featurestore",
                "featurestore_history",
                "`get_historical_features(...).to_parquet(...)`",
                *(place, files["featurestore"]),
            ),
            *options.theirs(
                "feast_history",
                "its DuckDB offline store",
                *(place / "feast", place / "inputs" / "spine.parquet", options.threads, files["feast"]),
            ),
        ),
        options.rounds,
    )
    compared = {
        standing.contestant.name: run(
            module(
                sys.executable,
                "contestants.compare_history",
                *(files["handwritten"], files[standing.contestant.name]),
            )
        )
        for standing in standings[2:]
    }
    return _section(options, standings, compared)


def _prepare(options: Options) -> None:
    """Inputs, our materialized project, and Feast's project on the files of it."""
    place = options.workspace / "historical"
    project = place / "project"
    if not (place / "ready").exists():
        shutil.rmtree(place, ignore_errors=True)
        write_history(place / "inputs", options.sizes)
        shutil.copytree(REPOSITORY / "benchmarks" / "projects" / "historical", project)
        with (project / "featurestore.toml").open("a", encoding="utf-8") as configuration:
            configuration.write(f"[offline]\nthreads = {options.threads}\n")
        with FeatureStore(project) as store:
            store.apply()
            report = store.materialize(_END)
        seconds = sum(view.seconds for view in report.views)
        (place / "ready").write_text(f"{seconds:.1f}", encoding="utf-8")
    if options.feast is not None:
        run(module(options.feast, "contestants.feast_project", "history", place / "feast", stored_table(place)))


def _section(options: Options, standings: Sequence[Standing], compared: Mapping[str, Sample]) -> Section:
    sizes = options.sizes
    by_name = {standing.contestant.name: standing for standing in standings}
    seconds = {name: standing.median("seconds") for name, standing in by_name.items()}
    taken = float((options.workspace / "historical" / "ready").read_text(encoding="utf-8"))
    targets = [Target("featurestore / handwritten, at most 1.5", seconds["featurestore"] / seconds["handwritten"], 1.5)]
    if "feast" in seconds:
        ratio = seconds["feast"] / seconds["featurestore"]
        targets.append(Target("feast / featurestore, at least 2", ratio, 2.0, at_most=False))
    return Section(
        title="Historical features",
        command=options.command,
        paragraphs=(
            f"{sizes.rows:,} rows of ten doubles, {sizes.entities:,} entities, {sizes.spine:,} spine rows, "
            f"{options.threads} threads, rounds: {options.rounds}. One row in a hundred ties with another one in key "
            "and event time. All read the Parquet files of one materialized view and write one Parquet file. Loading "
            "packages counts for featurestore and not for the others. (Materializing the view with its contract and "
            f"publishing it to memory, once: {taken:.0f} s, {sizes.rows / max(taken, 0.1):,.0f} rows per second.)",
            table(standings, _NUMBERS, base="handwritten"),
            "Beside the handwritten answer: "
            + "; ".join(_difference(name, found) for name, found in compared.items())
            + ".",
        ),
        targets=tuple(targets),
    )


def _difference(name: str, found: Sample) -> str:
    order = "in the spine's order" if found["ordered"] else "in another order"
    return f"{name} has {found['rows']:,.0f} rows {order}, {found['wrong']:,.0f} of them different"
