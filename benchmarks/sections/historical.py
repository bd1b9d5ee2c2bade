"""Point-in-time retrieval of ten features for a large spine, to Parquet."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from benchmarks.contest import Sample, Standing, hold, module, run
from benchmarks.contestants.history_files import stored_table
from benchmarks.inputs import Sizes, write_history
from benchmarks.options import Options
from benchmarks.project import materialized
from benchmarks.report import Number, Section, Target, table

_END = datetime(2026, 1, 1, tzinfo=UTC)
_NUMBERS = (
    Number("seconds", "seconds", ranged=True),
    Number("cpu_seconds", "CPU seconds"),
    Number("peak_mb", "peak MB", ",.0f"),
)


def measure(options: Options) -> Section:
    """Prepare what is missing, let all answer in turns, compare their answers."""
    place = options.workspace / "historical"
    materializing = _prepare(options)
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
    return _section(options, standings, compared, materializing)


def _prepare(options: Options) -> float:
    """Inputs, our materialized project, and Feast's project on its files; the seconds of materializing."""
    place = options.workspace / "historical"
    if not (place / "inputs" / "spine.parquet").exists():
        write_history(place / "inputs", options.sizes)
    seconds = materialized("historical", place, _END, options.threads)
    if options.feast is not None:
        run(module(options.feast, "contestants.feast_project", "history", place / "feast", stored_table(place)))
    return seconds


def _section(
    options: Options, standings: Sequence[Standing], compared: Mapping[str, Sample], materializing: float
) -> Section:
    sizes = options.sizes
    by_name = {standing.contestant.name: standing for standing in standings}
    seconds = {name: standing.median("seconds") for name, standing in by_name.items()}
    targets = [Target("featurestore / handwritten, at most 1.5", seconds["featurestore"] / seconds["handwritten"], 1.5)]
    if "feast" in seconds:
        ratio = seconds["feast"] / seconds["featurestore"]
        targets.append(Target("feast / featurestore, at least 2", ratio, 2.0, at_most=False))
    return Section(
        title="Historical features",
        command=options.command,
        load=options.load,
        paragraphs=(
            f"{sizes.rows:,} rows of ten doubles, {sizes.entities:,} entities, {sizes.spine:,} spine rows, "
            f"{options.threads} threads, rounds: {options.rounds}. One row in a hundred ties with another one in key "
            "and event time. All read the Parquet files of one materialized view and write one Parquet file. Loading "
            "packages counts for featurestore and not for the others. (Materializing the view through the gate and "
            f"publishing it to memory, once: {materializing:.0f} s, {sizes.rows / materializing:,.0f} rows a second.)",
            table(standings, _NUMBERS, base="handwritten"),
            "Beside the handwritten answer: "
            + "; ".join(_difference(name, found) for name, found in compared.items())
            + ".",
        ),
        targets=tuple(targets) if sizes == Sizes() else (),  # on small inputs loading packages outweighs the work
    )


def _difference(name: str, found: Sample) -> str:
    order = "in the spine's order" if found["ordered"] else "in another order"
    return f"{name} has {found['rows']:,.0f} rows {order}, {found['wrong']:,.0f} of them different"
