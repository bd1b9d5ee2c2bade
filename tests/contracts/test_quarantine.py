"""The quarantine on disk: entries, releases, crashes and broken files."""

from __future__ import annotations

import json
import math
import os
import stat
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.contracts.digest import contract_digest
from featurestore.contracts.quarantine import Quarantine
from featurestore.contracts.verdict import Occasion, Outcome, Reason
from featurestore.errors import InputError, OfflineStoreError, UnknownNameError
from tests.contracts.models import OneStation, Weather, chunk, gate, row

JANUARY = Occasion("origin_weather_1", start_us=0, end_us=1_000)
COLD = chunk(row(), row(temp=-273.0, __sequence=5))


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    """An empty quarantine."""
    return Quarantine(tmp_path / "offline" / "quarantine")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the quarantine keeps its files."""
    return tmp_path / "offline" / "quarantine"


def test_an_entry_says_what_was_refused_where_and_why(quarantine: Quarantine) -> None:
    entry = quarantine.keep(gate(Weather).check(COLD, JANUARY), at_us=7)
    assert (entry.view, entry.table, entry.start_us, entry.end_us) == ("origin_weather", "origin_weather_1", 0, 1_000)
    assert (entry.policy, entry.outcome, entry.rows, entry.refused_rows) == ("refuse", Outcome.REFUSED, 2, 1)
    assert (entry.contract, entry.at_us, entry.waiver) == (contract_digest(Weather), 7, None)
    assert entry.reasons == (Reason("greater_than_or_equal_to(-60)", "temp", 1, "-273.0"),)
    assert quarantine.list() == (entry,)


def test_the_refused_rows_are_kept_as_they_were(quarantine: Quarantine) -> None:
    strange = {"temp": math.nan, "airport": "Łódź", "station": ""}
    rows = chunk(row(), row(**strange))
    entry = quarantine.keep(gate(Weather, "drop").check(rows, JANUARY), at_us=7)
    shown, kept = quarantine.show(entry.id)
    assert shown == entry
    assert kept.drop_columns(["__reasons", "temp"]).equals(rows.slice(1).drop_columns(["temp"]))
    assert math.isnan(kept["temp"][0].as_py())
    assert kept["__reasons"].to_pylist() == [
        [
            "airport: str_length(3) (found Łódź)",
            "temp: less_than_or_equal_to(60) (found NaN)",
            "temp: not NaN (found NaN)",
        ]
    ]


def test_a_refusal_of_the_whole_chunk_has_an_entry_without_rows(quarantine: Quarantine) -> None:
    rows = chunk(row(station="a"), row(station="b"))
    entry = quarantine.keep(gate(OneStation).check(rows, JANUARY), at_us=7)
    assert (entry.rows, entry.refused_rows, [str(r) for r in entry.reasons]) == (2, 0, ["station: only_one"])
    assert quarantine.show(entry.id)[1].num_rows == 0


def test_a_refusal_seen_again_is_the_same_entry(quarantine: Quarantine, directory: Path) -> None:
    first = quarantine.keep(gate(Weather).check(COLD, JANUARY), at_us=7)
    again = quarantine.keep(gate(Weather).check(COLD.take([1, 0]), JANUARY), at_us=8)
    assert again == first
    assert len(list(directory.iterdir())) == 1


@pytest.mark.parametrize("change", ["rows", "interval", "view", "policy", "contract"])
def test_another_refusal_is_another_entry(quarantine: Quarantine, change: str) -> None:
    judged, rows, occasion = gate(Weather), COLD, JANUARY
    first = quarantine.keep(judged.check(rows, occasion), at_us=7)
    match change:
        case "rows":
            rows = chunk(row(temp=-274.0))
        case "interval":
            occasion = replace(occasion, end_us=2_000)
        case "view":
            judged = replace(judged, view="destination_weather")
        case "policy":
            judged = replace(judged, policy="drop")
        case _:
            judged = replace(judged, contract=type("Other", (Weather,), {"__module__": __name__, **_STRICTER}))
    assert quarantine.keep(judged.check(rows, occasion), at_us=7).id != first.id


_STRICTER = {"Config": type("Config", (), {"unique": ["airport", "time_hour", "temp"]})}


def test_what_passed_is_not_quarantined(quarantine: Quarantine) -> None:
    with pytest.raises(InputError, match=r"Nothing to quarantine: View 'origin_weather': all 1 rows passed"):
        quarantine.keep(gate(Weather).check(chunk(row())), at_us=7)


def test_entries_are_listed_by_age(quarantine: Quarantine) -> None:
    refusals = [gate(Weather).check(chunk(row(temp=temp)), JANUARY) for temp in (61.0, 62.0, 63.0)]
    kept = [quarantine.keep(verdict, at_us) for verdict, at_us in zip(refusals, (3, 1, 2), strict=True)]
    assert quarantine.list() == (kept[1], kept[2], kept[0])


def test_an_empty_quarantine_lists_nothing(quarantine: Quarantine) -> None:
    assert quarantine.list() == ()
    assert quarantine.waivers("origin_weather") == ()


@pytest.mark.parametrize("name", ["0123456789abcdef", "../outside", ""])
def test_an_unknown_entry_is_refused_with_those_that_exist(quarantine: Quarantine, directory: Path, name: str) -> None:
    directory.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), directory.parent / "outside.parquet")
    entry = quarantine.keep(gate(Weather).check(COLD, JANUARY), at_us=7)
    with pytest.raises(UnknownNameError) as unknown:
        quarantine.show(name)
    assert unknown.value.available == (entry.id,)


def test_a_release_is_a_file_that_people_can_read(quarantine: Quarantine, directory: Path) -> None:
    entry = quarantine.keep(gate(Weather).check(COLD, JANUARY), at_us=7)
    quarantine.release(entry.id, " ops ", "sensor replaced", at_us=9)
    written = json.loads((directory / f"{entry.id}.waiver.json").read_text())
    told = ("entry", "view", "actor", "reason", "released_us", "start_us", "end_us")
    assert {name: written[name] for name in told} == {
        "entry": entry.id,
        "view": "origin_weather",
        "actor": "ops",
        "reason": "sensor replaced",
        "released_us": 9,
        "start_us": 0,
        "end_us": 1_000,
    }
    assert len(written["rows"]) == 1


def test_the_first_release_stands(quarantine: Quarantine) -> None:
    entry = quarantine.keep(gate(Weather).check(COLD, JANUARY), at_us=7)
    first = quarantine.release(entry.id, "ops", "sensor replaced", at_us=9)
    assert quarantine.release(entry.id, "somebody", "another reason", at_us=10) == first
    assert quarantine.show(entry.id)[0].waiver == first
    assert quarantine.list()[0].waiver == first


@pytest.mark.parametrize(("actor", "reason"), [("", "why"), ("ops", "  ")])
def test_a_release_needs_a_name_and_a_reason(quarantine: Quarantine, actor: str, reason: str) -> None:
    entry = quarantine.keep(gate(Weather).check(COLD, JANUARY), at_us=7)
    with pytest.raises(InputError, match="needs who lets it through, and why"):
        quarantine.release(entry.id, actor, reason, at_us=9)


def test_what_a_crash_left_unfinished_is_not_there(quarantine: Quarantine, directory: Path) -> None:
    entry = quarantine.keep(gate(Weather).check(COLD, JANUARY), at_us=7)
    whole = (directory / f"{entry.id}.parquet").read_bytes()
    (directory / f".{'0' * 16}.parquet.abc.tmp").write_bytes(whole[:100])
    (directory / f".{entry.id}.waiver.json.abc.tmp").write_bytes(b"{")
    assert quarantine.list() == (entry,)
    assert quarantine.waivers("origin_weather") == ()


def test_a_crash_before_the_rename_leaves_no_entry(
    quarantine: Quarantine, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        quarantine.keep(gate(Weather).check(COLD, JANUARY), at_us=7)
    monkeypatch.undo()
    assert quarantine.list() == ()
    assert quarantine.keep(gate(Weather).check(COLD, JANUARY), at_us=8).at_us == 8


def test_an_entry_is_on_disk_before_it_has_its_name(
    quarantine: Quarantine, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []

    def record(descriptor: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        synced.append((kind, any(directory.glob("*.parquet"))))

    monkeypatch.setattr(os, "fsync", record)
    quarantine.keep(gate(Weather).check(COLD, JANUARY), at_us=7)
    assert synced == [("file", False), ("directory", True)]


def test_a_full_disk_is_told_and_leaves_nothing(
    quarantine: Quarantine, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OfflineStoreError, match=r"cannot be written: \[Errno 28\] No space left on device"):
        quarantine.keep(gate(Weather).check(COLD, JANUARY), at_us=7)
    assert list(directory.iterdir()) == []


def test_a_place_that_is_no_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "quarantine").write_text("a file")
    with pytest.raises(OfflineStoreError, match="cannot be written"):
        Quarantine(tmp_path / "quarantine").keep(gate(Weather).check(COLD, JANUARY), at_us=7)


@pytest.mark.parametrize("broken", ["", "no parquet at all", "cut", "foreign", "other"])
def test_a_broken_entry_is_named_with_the_remedy(quarantine: Quarantine, directory: Path, broken: str) -> None:
    entry = quarantine.keep(gate(Weather).check(COLD, JANUARY), at_us=7)
    path = directory / f"{entry.id}.parquet"
    match broken:
        case "cut":
            path.write_bytes(path.read_bytes()[:-100])
        case "foreign":
            pq.write_table(pa.table({"x": [1]}), path)
        case "other":
            pq.write_table(pa.table({"x": [1]}).replace_schema_metadata({"featurestore.quarantine": "{}"}), path)
        case text:
            path.write_text(text)
    for look in (quarantine.list, lambda: quarantine.show(entry.id)):
        with pytest.raises(OfflineStoreError, match=rf"{entry.id}.parquet cannot be read: .*Move it away"):
            look()


def test_a_broken_entry_is_written_anew_when_it_is_refused_again(quarantine: Quarantine, directory: Path) -> None:
    verdict = gate(Weather).check(COLD, JANUARY)
    entry = quarantine.keep(verdict, at_us=7)
    (directory / f"{entry.id}.parquet").write_text("")
    assert quarantine.keep(verdict, at_us=8) == replace(entry, at_us=8)
    assert quarantine.list() == (replace(entry, at_us=8),)


def test_a_broken_release_lets_nothing_through(quarantine: Quarantine, directory: Path) -> None:
    entry = quarantine.keep(gate(Weather).check(COLD, JANUARY), at_us=7)
    quarantine.release(entry.id, "ops", "sensor replaced", at_us=9)
    (directory / f"{entry.id}.waiver.json").write_text('{"entry": "')
    with pytest.raises(OfflineStoreError, match=rf"{entry.id}.waiver.json cannot be read: .*released again"):
        quarantine.waivers("origin_weather")
