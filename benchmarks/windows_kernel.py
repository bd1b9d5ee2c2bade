"""The windows kernel against an integer sweep: 24 features (6 functions, 4 windows) over skewed events.

    python benchmarks/windows_kernel.py [--events 20000000] [--rounds 5]

The sweep is the best-known shape of the job: one pass over events sorted by entity and time, two pointers per window,
monotonic queues for extremes, sums in int64 (of cents, so exact). The kernel computes exactly rounded results over
doubles. Both answer in turns; medians count. `--cold` measures the first call of a fresh process instead, without and
with cached machine code.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.windows.kernel import compute
from featurestore.windows.spec import WindowEvents, WindowPoints, WindowSpec, WindowValues

HOUR_US = 3_600_000_000
WINDOWS_US = (HOUR_US, 24 * HOUR_US, 7 * 24 * HOUR_US, 30 * 24 * HOUR_US)
FUNCTIONS = ("count", "sum", "mean", "min", "max", "stddev_samp")
SPAN_US = 90 * 24 * HOUR_US

Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Input:
    """Events and points; `cents` are the events' values times 100, as integers."""

    events: WindowEvents
    points: WindowPoints
    cents: Int64s


def make_input(events: int, entities: int, points: int, seed: int = 7) -> Input:
    """Log-normal amounts with two decimals; the share of an entity falls with its rank to the power 0.8."""
    random = np.random.default_rng(seed)
    weights = np.arange(1, entities + 1, dtype=np.float64) ** -0.8
    shares = np.cumsum(weights / weights.sum())
    group, time_us = _sorted_instants(random, shares, events)
    cents = np.round(random.lognormal(8.0, 1.2, events)).astype(np.int64)
    point_group, point_us = _sorted_instants(random, shares, points)
    table = WindowEvents(group, time_us, (pa.array(cents / 100.0),))
    return Input(table, WindowPoints(point_group, point_us), cents)


def _sorted_instants(random: np.random.Generator, shares: NDArray[np.float64], rows: int) -> tuple[Int64s, Int64s]:
    group = np.minimum(np.searchsorted(shares, random.random(rows)), shares.size - 1)
    order = group * np.int64(SPAN_US) + random.integers(0, SPAN_US, rows)
    order.sort()
    return order // SPAN_US, order % SPAN_US


def run_kernel(data: Input, threads: int = 1) -> WindowValues:
    """All 24 features by the kernel."""
    specs = [WindowSpec(name, 0, window_us=window) for window in WINDOWS_US for name in FUNCTIONS]
    return compute(specs, data.events, data.points, threads=threads)


def run_sweep(data: Input) -> NDArray[np.float64]:
    """All 24 features by the integer sweep, (window, function, point), NaN for null."""
    out = np.full((len(WINDOWS_US), len(FUNCTIONS), data.points.group.size), np.nan)
    starts = np.searchsorted(data.events.group, np.arange(data.events.group.max() + 2))
    sweep(
        (starts, data.events.time_us, data.cents),
        (data.points.group, data.points.end_us),
        np.array(WINDOWS_US, np.int64),
        out,
    )
    return out


@numba.njit(error_model="numpy")
def sweep(
    events: tuple[Int64s, Int64s, Int64s], points: tuple[Int64s, Int64s], windows: Int64s, out: NDArray[np.float64]
) -> None:
    """Two pointers and two monotonic queues per window and entity; integer sums of x and x^2."""
    starts, times, values = events
    groups, instants = points
    longest = np.max(np.diff(starts))
    least, most = np.empty(longest, np.int64), np.empty(longest, np.int64)
    for w in range(windows.size):
        low = high = end = total = squares = 0
        low_head = low_tail = high_head = high_tail = 0
        for j in range(groups.size):
            if j == 0 or groups[j] != groups[j - 1]:
                low = high = starts[groups[j]]
                end = starts[groups[j] + 1]
                total = squares = low_head = low_tail = high_head = high_tail = 0
            while high < end and times[high] < instants[j]:
                x = values[high]
                total += x
                squares += x * x
                low_tail = _push(least, low_head, low_tail, values, high, 1)
                high_tail = _push(most, high_head, high_tail, values, high, -1)
                high += 1
            while low < high and times[low] < instants[j] - windows[w]:
                total -= values[low]
                squares -= values[low] * values[low]
                low += 1
            low_head = _drop(least, low_head, low_tail, low)
            high_head = _drop(most, high_head, high_tail, low)
            _write(out[w, :, j], high - low, total, squares)
            if high > low:
                out[w, 3, j] = values[least[low_head]]
                out[w, 4, j] = values[most[high_head]]


@numba.njit(error_model="numpy")
def _push(queue: Int64s, head: int, tail: int, values: Int64s, position: int, sign: int) -> int:
    while tail > head and sign * values[queue[tail - 1]] >= sign * values[position]:
        tail -= 1
    queue[tail] = position
    return tail + 1


@numba.njit(error_model="numpy")
def _drop(queue: Int64s, head: int, tail: int, low: int) -> int:
    while head < tail and queue[head] < low:
        head += 1
    return head


@numba.njit(error_model="numpy")
def _write(out: NDArray[np.float64], count: int, total: int, squares: int) -> None:
    out[0] = count
    if count > 0:
        out[1] = total
        out[2] = total / count
    if count > 1:
        out[5] = np.sqrt((squares - total / count * total) / (count - 1))


def check(values: WindowValues, swept: NDArray[np.float64]) -> None:
    """Stop unless both gave the same features, up to the rounding of the sweep."""
    for index, answer in enumerate(values.values):
        window, function = divmod(index, len(FUNCTIONS))
        mine = answer.to_numpy(zero_copy_only=False).astype(np.float64)
        theirs = swept[window, function] / (1.0 if function == 0 else 100.0)
        if not np.allclose(mine, theirs, rtol=1e-6, atol=1e-3, equal_nan=True):
            raise SystemExit(f"{FUNCTIONS[function]} over window {window} differs.")


def median_seconds(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median wall seconds of each contestant, run in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in seconds.items()}


def measure_cold() -> None:
    """Seconds from the start of Python to the first features, compiling, and with machine code kept on disk."""
    program = "from benchmarks.windows_kernel import make_input, run_kernel; run_kernel(make_input(1000, 10, 100))"
    with tempfile.TemporaryDirectory() as directory:
        for what in ("compiling", "with cached machine code", "again"):
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", program], env={**os.environ, "NUMBA_CACHE_DIR": directory}, check=True
            )
            print(f"cold start, {what}: {time.perf_counter() - began:.2f} s")


def main() -> None:
    """Measure, check that both agree, print medians, ratio and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--entities", type=int, default=200_000)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()
    if options.cold:
        measure_cold()
        return
    small = make_input(10_000, 100, 1_000)
    check(run_kernel(small), run_sweep(small))
    data = make_input(options.events, options.entities, options.points)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    medians = median_seconds(
        {
            "kernel": lambda: run_kernel(data),
            "kernel, two threads": lambda: run_kernel(data, 2),
            "integer sweep": lambda: run_sweep(data),
        },
        options.rounds,
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    check(run_kernel(data), run_sweep(data))
    print(f"{options.events} events, {options.entities} entities, {options.points} points, 24 features")
    for name, seconds in medians.items():
        print(f"{name}: {seconds:.2f} s, {seconds / medians['integer sweep']:.2f} of the integer sweep")
    print(f"peak {peak:.2f} GB, {held:.2f} GB when the input was made")


if __name__ == "__main__":
    main()
