"""What the store had committed at an earlier instant of its clock."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import InputError, NotCommittedError
from featurestore.store import FeatureStore
from featurestore.timeline import instant_us
from tests.store.projects import PURCHASES, day, make_clocked, purchases
from tests.store.test_windows import DAILY, amounts

SPINE = pl.DataFrame({"customer": ["a", "b"], "event_timestamp": [day(11), day(11)]})


def items(store: FeatureStore, as_of: datetime | None) -> list[int | None]:
    found: list[int | None] = (
        store.get_historical_features(SPINE, ["last:items"], as_of=as_of).to_polars()["items"].to_list()
    )
    return found


def test_history_as_of_an_instant_is_what_was_committed_then(tmp_path: Path) -> None:
    store, clock = make_clocked(tmp_path, PURCHASES, purchases=purchases())
    clock.at = day(6)
    store.materialize(end=day(6))
    clock.at = day(12)
    store.materialize(end=day(12))
    corrected = purchases().with_columns(items=pl.col("items") * 10)
    corrected.write_parquet(tmp_path / "data" / "purchases.parquet")
    clock.at = day(20)
    store.materialize(start=day(1), end=day(12))
    clock.at = day(25)
    assert {at.day: items(store, at) for at in (day(6), day(11), day(12), day(19), day(20), day(25))} == {
        6: [1, 3],
        11: [1, 3],
        12: [2, 3],
        19: [2, 3],
        20: [20, 30],
        25: [20, 30],
    }
    assert items(store, None) == [20, 30]


def test_an_instant_before_the_first_commit_says_since_when(tmp_path: Path) -> None:
    store, clock = make_clocked(tmp_path, PURCHASES, purchases=purchases())
    clock.at = day(6)
    store.materialize(end=day(6))
    with pytest.raises(NotCommittedError, match="its first commit came at 2024-01-06T00:00:00Z") as error:
        items(store, day(5))
    assert error.value.since_us == instant_us(day(6), "since")


def test_an_instant_in_the_future_and_answers_from_source_are_refused(tmp_path: Path) -> None:
    store, clock = make_clocked(tmp_path, PURCHASES, purchases=purchases())
    clock.at = day(12)
    store.materialize(end=day(12))
    with pytest.raises(InputError, match="2024-01-13T00:00:00Z lies in the future"):
        items(store, day(13))
    with pytest.raises(InputError, match="as_of asks for what was committed"):
        store.get_historical_features(SPINE, ["last:items"], as_of=day(12), from_source=True)
    with pytest.raises(InputError, match=r"as_of .* has no time zone"):
        items(store, day(12).replace(tzinfo=None))


def test_windows_as_of_an_instant_end_at_the_watermark_of_then(tmp_path: Path) -> None:
    events = amounts(("2024-01-01T12:00", 1.0), ("2024-01-03T12:00", 2.0))
    store, clock = make_clocked(tmp_path, DAILY, events=events)
    clock.at = day(3)
    store.materialize(end=day(3))
    clock.at = day(5)
    store.materialize(end=day(5))
    spine = pl.DataFrame({"customer": ["a"], "event_timestamp": [day(5)]})
    sums = [
        store.get_historical_features(spine, ["sums:amount_sum_30d"], as_of=at, statuses=True).to_polars().row(0)[2:]
        for at in (day(3), day(5))
    ]
    assert sums == [(1.0, "PRESENT"), (3.0, "PRESENT")]
