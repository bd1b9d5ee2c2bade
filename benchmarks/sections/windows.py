"""Twenty-four windowed features of skewed events, continuous: counts, sums, means, extremes, deviations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.contest import Standing, hold
from benchmarks.contestants.featurestore_windows import END
from benchmarks.inputs import Sizes
from benchmarks.options import Options
from benchmarks.project import materialized
from benchmarks.report import Number, Section, Target, table
from benchmarks.windows_kernel import make_input

_FIRST_US = 1_704_067_200_000_000  # January 1, 2024
_NUMBERS = (
    Number("seconds", "seconds", ranged=True),
    Number("cpu_seconds", "CPU seconds"),
    Number("peak_mb", "peak MB", ",.0f"),
)


def measure(options: Options) -> Section:
    """Prepare what is missing and let all answer in turns."""
    place = options.workspace / "windows"
    sizes = options.sizes
    if not (place / "inputs" / "spine.parquet").exists():
        _write_inputs(place / "inputs", sizes)
    materializing = materialized("windows", place, END, options.threads)
    standings = hold(
        (
            options.ours("read", "read_windows", "the same columns read, nothing else", place, options.threads),
            options.ours(
                "integer sweep", "swept_windows", "read, sorted, swept in int64 cents", place, options.threads
            ),
            options.ours("from source", "featurestore_windows", "`from_source=True`, exact doubles", place, "source"),
            options.ours("from store", "featurestore_windows", "from the materialized events", place, "store"),
            options.ours(
                "cold start", "featurestore_windows", "from source, the kernels compiled first", place, "cold"
            ),
            options.ours(
                "online values", "featurestore_windows", "of all entities, published to memory", place, "online"
            ),
        ),
        options.rounds,
    )
    return _section(options, standings, materializing, place)


def _write_inputs(place: Path, sizes: Sizes) -> None:
    """Events in the order of time, as a log has them, and points at some instants of the same entities."""
    place.mkdir(parents=True)
    data = make_input(sizes.rows, sizes.rows // 100, sizes.spine // 2)
    instants = pa.timestamp("us", tz="UTC")
    events = pa.table(
        {
            "key": data.events.group,
            "happened": pa.array(data.events.time_us + _FIRST_US).cast(instants),
            "amount": data.events.columns[0],
        }
    ).sort_by("happened")
    pq.write_table(events, place / "events.parquet", row_group_size=122_880)
    points = {"key": data.points.group, "event_timestamp": pa.array(data.points.end_us + _FIRST_US).cast(instants)}
    pq.write_table(pa.table(points), place / "spine.parquet")


def _section(options: Options, standings: Sequence[Standing], materializing: float, place: Path) -> Section:
    sizes = options.sizes
    seconds = {standing.contestant.name: standing.median("seconds") for standing in standings}
    stored = sum(file.stat().st_size for file in (place / "project").rglob("*.parquet"))
    return Section(
        title="Windowed features",
        command=options.command,
        load=options.load,
        paragraphs=(
            f"{sizes.rows:,} events of {sizes.rows // 100:,} skewed entities, {sizes.spine // 2:,} spine rows, count, "
            "sum, mean, min, max and stddev_samp over 1 hour, 1, 7 and 30 days, every=None; rounds: "
            f"{options.rounds}, {options.threads} threads. The sweep does no more than the kernel's part: no null, no "
            "NaN, no order of the spine to give back, and its sums are exact because they are integers. Materializing "
            f"the events and publishing the present values of all entities, once: {materializing:.0f} s, "
            f"{sizes.rows / materializing:,.0f} events a second, {stored / sizes.rows:.1f} bytes an event on disk.",
            table(standings, _NUMBERS, base="integer sweep"),
        ),
        targets=(
            Target("from source / integer sweep, at most 2", seconds["from source"] / seconds["integer sweep"], 2.0),
        ),
    )
