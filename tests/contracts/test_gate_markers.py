"""Markers only cancel rows: the gate asks for their keys and times, and no contract looks at them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandera.polars as pandera
import pyarrow as pa
import pytest

from featurestore.contracts.digest import contract_digest
from featurestore.contracts.gate import Gate, content_columns
from featurestore.contracts.verdict import Outcome, Policy
from featurestore.contracts.waiver import Waiver, row_digests
from featurestore.timeline import DELETED
from tests.contracts.models import SCHEMA, MildOnAverage, UniqueStation, Weather, hour, reasons, row
from tests.contracts.models import gate as gate_of_rows

MARKED = pa.schema([*SCHEMA, (DELETED, pa.bool_())])
NOTHING = {"temp": None, "gusty": None, "station": None}


def marker(**values: object) -> dict[str, Any]:
    """A marker: a key, an event time, and no values but those given."""
    return row(**{**NOTHING, DELETED: True, **values})


def chunk(*rows: dict[str, Any]) -> pa.Table:
    """A chunk of rows and markers."""
    return pa.Table.from_pylist([{DELETED: False, **each} for each in rows], schema=MARKED)


def gate(contract: type[pandera.DataFrameModel] | None = None, policy: Policy = "refuse") -> Gate:
    """The gate of a view whose rows may be markers."""
    return replace(gate_of_rows(contract, policy), marked=True)


def test_a_marker_whose_values_are_null_passes_a_contract_that_forbids_nulls() -> None:
    rows = chunk(row(), marker(), row())
    verdict = gate(Weather).check(rows)
    assert (verdict.outcome, verdict.rows, verdict.refused_rows) == (Outcome.PASSED, 3, 0)
    assert verdict.accepted.equals(rows)


def test_values_of_a_marker_that_break_the_contract_are_not_looked_at() -> None:
    assert gate(Weather).check(chunk(row(), marker(temp=-273.0, gusty=9))).outcome is Outcome.PASSED


def test_a_chunk_of_markers_alone_passes() -> None:
    assert gate(Weather).check(chunk(marker(), marker())).outcome is Outcome.PASSED


@pytest.mark.parametrize("missing", ["airport", "__event_timestamp"])
def test_a_marker_without_key_or_event_time_is_refused(missing: str) -> None:
    for contract in (None, Weather):
        verdict = gate(contract).check(chunk(row(), marker(**{missing: None})))
        assert (verdict.outcome, verdict.refused_rows) == (Outcome.REFUSED, 1)
        assert not any(reason.waivable for reason in verdict.reasons)


def test_rows_that_fail_are_found_among_markers() -> None:
    rows = chunk(marker(), row(__sequence=1), marker(), row(temp=-273.0, __sequence=2), marker(), row(__sequence=3))
    verdict = gate(Weather).check(rows)
    assert (verdict.outcome, verdict.refused_rows) == (Outcome.REFUSED, 1)
    assert verdict.refused.column("__sequence").to_pylist() == [2]
    assert reasons(verdict.refused) == [["temp: greater_than_or_equal_to(-60) (found -273.0)"]]


def test_rows_that_fail_are_dropped_from_among_markers() -> None:
    rows = chunk(marker(), row(temp=99.0), row(), marker(airport=None), marker(__event_timestamp=hour(7)))
    verdict = gate(Weather, "drop").check(rows)
    assert (verdict.outcome, verdict.refused_rows) == (Outcome.DROPPED, 2)
    assert verdict.accepted.equals(rows.take([0, 2, 4]))


def test_checks_of_the_whole_chunk_look_at_no_marker() -> None:
    hot = marker(temp=999.0, station="s1")
    assert gate(MildOnAverage).check(chunk(row(), hot)).outcome is Outcome.PASSED
    assert gate(UniqueStation).check(chunk(row(), hot, marker(station="s1"))).outcome is Outcome.PASSED
    assert gate(UniqueStation).check(chunk(row(), hot, row())).outcome is Outcome.REFUSED


def test_a_released_row_is_let_through_among_markers() -> None:
    rows = chunk(marker(), row(temp=-273.0))
    waiver = Waiver(
        entry="e",
        view="origin_weather",
        contract=contract_digest(Weather),
        start_us=None,
        end_us=None,
        chunk=None,
        columns=content_columns(rows),
        rows=frozenset(row_digests(rows.slice(1), content_columns(rows))),
        checks=frozenset(),
        actor="ann",
        reason="it was that cold",
        released_us=0,
    )
    assert gate(Weather).check(rows).outcome is Outcome.REFUSED
    assert gate(Weather).check(rows, waivers=[waiver]).outcome is Outcome.PASSED


def test_a_chunk_that_does_not_tell_its_markers_is_refused() -> None:
    verdict = gate(Weather).check(chunk(row()).drop_columns([DELETED]))
    assert (verdict.outcome, [reason.column for reason in verdict.reasons]) == (Outcome.REFUSED, [DELETED])
