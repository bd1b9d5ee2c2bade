"""Input files, the same bytes for the same sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FEATURES = tuple(f"f{i}" for i in range(10))
ONLINE_VIEWS = ("account", "device", "payment")
MONTHS = 12
MONTH_US = 30 * 86_400 * 10**6
START_US = 1_735_689_600 * 10**6  # 2025-01-01
_INSTANT = pa.timestamp("us", tz="UTC")
_HOUR_US = 3_600 * 10**6
_TIES = 0.01  # of the rows: another row's key and event time; half of those have its created time as well


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is asked of the contestants, in rows, entities, spine rows and entities online."""

    rows: int = 20_000_000
    entities: int = 1_000_000
    spine: int = 2_000_000
    online: int = 1_000_000

    def scaled(self, scale: float) -> Sizes:
        """These sizes, or smaller ones for a quick look."""
        return Sizes(*(max(1_000, int(size * scale)) for size in (self.rows, self.entities, self.spine, self.online)))


def write_history(folder: Path, sizes: Sizes) -> None:
    """`events/*.parquet`, a file per month ordered by event time, and `spine.parquet`, in no order."""
    (folder / "events").mkdir(parents=True, exist_ok=True)
    for month in range(MONTHS):
        rows = _month(np.random.default_rng([7, month]), month, sizes)
        pq.write_table(rows, folder / "events" / f"month-{month:02d}.parquet", row_group_size=122_880)
    random = np.random.default_rng(99)
    instants = START_US + random.integers(0, MONTHS * MONTH_US, sizes.spine)
    spine = {
        "row": np.arange(sizes.spine),
        "key": random.integers(0, sizes.entities, sizes.spine),
        "event_timestamp": pa.array(instants, type=_INSTANT),
    }
    pq.write_table(pa.table(spine), folder / "spine.parquet")


def write_online(folder: Path, sizes: Sizes) -> None:
    """For each online view a file with one row per entity; features are prefixed by the view's name."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, view in enumerate(ONLINE_VIEWS):
        random = np.random.default_rng([11, number])
        columns = {
            "key": np.arange(sizes.online),
            "event_timestamp": pa.array(START_US + random.integers(0, MONTH_US, sizes.online), type=_INSTANT),
        }
        columns |= {f"{view}_{name}": random.standard_normal(sizes.online) for name in FEATURES}
        pq.write_table(pa.table(columns), folder / f"{view}.parquet")


def _month(random: np.random.Generator, month: int, sizes: Sizes) -> pa.Table:
    rows = sizes.rows // MONTHS
    key = random.integers(0, sizes.entities, rows)
    event = START_US + month * MONTH_US + random.integers(0, MONTH_US, rows)
    ties = np.flatnonzero(random.random(rows) < _TIES)
    copied = random.integers(0, rows, ties.size)
    key[ties], event[ties] = key[copied], event[copied]
    created = event + random.integers(0, _HOUR_US, rows)
    same = random.random(ties.size) < 0.5
    created[ties[same]] = created[copied[same]]
    order = np.argsort(event, kind="stable")
    columns = {
        "key": key[order],
        "event_timestamp": pa.array(event[order], type=_INSTANT),
        "created_timestamp": pa.array(created[order], type=_INSTANT),
    }
    columns |= {name: random.standard_normal(rows) for name in FEATURES}
    return pa.table(columns)
