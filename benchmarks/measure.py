"""What a contestant says of itself, on the last line of its output.

Only the standard library: this module also runs under the interpreter of a contestant that lives in an environment of
its own.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_STATUS = Path("/proc/self/status")
BATCHES = (1, 10, 100)  # entities of a lookup
_FEWEST = 2_000  # lookups
_WARM_UP_SHARE = 5
_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def keep_to(place: int, process: int = 0) -> None:
    """Let a process (0: this one) and those that it starts from now on run on one core, the first (0) or the last (-1).

    Otherwise it is chance whether a caller and who answers it share a core, which changes a round trip by half. Does
    nothing where a process cannot choose.
    """
    if _CORES:
        os.sched_setaffinity(process, {_CORES[place]})


def measured(work: Callable[[], object]) -> None:
    """Run the work and report its wall and CPU seconds, and the peak memory of the process in MB."""
    began, cpu_began = time.perf_counter(), time.process_time()
    work()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    report(seconds=seconds, cpu_seconds=cpu_seconds, peak_mb=peak_mb())


def measured_batches(look_up: Callable[[list[int]], object], entities: int, lookups: int) -> None:
    """Look up 1, 10 and 100 entities at a time, `lookups` times and fewer; report percentiles in microseconds.

    `p50_us_10` is the median of those with ten. The keys are drawn from 0 to `entities`, the same for everybody. This
    process keeps to the last core meanwhile.
    """
    keep_to(-1)
    drawn = random.Random(5)
    numbers: dict[str, float] = {}
    for batch in BATCHES:
        times = max(lookups // batch, min(lookups, _FEWEST))
        keys = [drawn.choices(range(entities), k=batch) for _ in range(times + times // _WARM_UP_SHARE)]
        for name, value in percentiles(look_up, keys, times // _WARM_UP_SHARE).items():
            numbers[f"{name}_{batch}"] = value
    report(**numbers, peak_mb=peak_mb())


def percentiles(call: Callable[[list[int]], object], arguments: Sequence[list[int]], warm_up: int) -> dict[str, float]:
    """Call once per argument, the first ones to warm up; percentiles of the others in microseconds."""
    taken = []
    clock = time.perf_counter_ns
    for argument in arguments:
        began = clock()
        call(argument)
        taken.append(clock() - began)
    taken = sorted(taken[warm_up:])
    return {"p50_us": taken[len(taken) // 2] / 1000, "p99_us": taken[len(taken) * 99 // 100] / 1000}


def report(**numbers: float) -> None:
    """Print numbers for `contest` to read."""
    print(json.dumps(numbers))


def peak_mb() -> float:
    """The greatest resident memory of this process so far.

    Linux hands `ru_maxrss` down from the process that started this one, so its own high-water mark is read there.
    """
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
