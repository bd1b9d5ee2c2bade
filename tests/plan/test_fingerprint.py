"""What is a change of meaning, what rebuilds what is kept, and what is neither."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from featurestore.plan.catalog import ContractRecord, Metadata, ParquetPlace, ScheduleRecord, SqlPlace, decode, encode
from featurestore.plan.fingerprint import meaning, publication, storage
from tests.plan.catalogs import WEATHER, feature, view

VIEW = view()
CHANGES: list[tuple[str, dict[str, Any], bool, bool, bool]] = [
    # what changes, how, and whether meaning, publication and storage change
    ("description", {"metadata": Metadata(description="new", owner="me", tags={"a": "b"})}, False, False, False),
    ("schedule", {"schedule": ScheduleRecord(cron="0 3 * * *")}, False, False, False),
    ("ttl", {"ttl_us": 5}, True, False, False),
    ("delay", {"delay_us": 5}, True, True, False),
    ("source path", {"source": msgspec.structs.replace(WEATHER, place=ParquetPlace(path="b"))}, True, True, True),
    ("source words", {"source": msgspec.structs.replace(WEATHER, metadata=Metadata(owner="x"))}, False, False, False),
    ("deleted", {"source": msgspec.structs.replace(WEATHER, deleted="gone")}, True, True, True),
    ("type", {"features": (feature("temp", "Float32"), feature("wind"))}, True, True, True),
    ("rename", {"features": (feature("warmth", stored="temp", column="temp"), feature("wind"))}, True, False, False),
    ("order", {"features": (feature("wind"), feature("temp"))}, True, False, False),
    ("contract", {"contract": ContractRecord(reference="a:B", digest="1")}, True, True, True),
]


@pytest.mark.parametrize(
    ("change", "means", "publishes", "stores"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_a_change_moves_the_digests_it_should(
    change: dict[str, Any], means: bool, publishes: bool, stores: bool
) -> None:
    changed = msgspec.structs.replace(VIEW, **change)
    assert (meaning(changed) != meaning(VIEW)) is means
    assert (publication(changed) != publication(VIEW)) is publishes
    assert (storage(changed) != storage(VIEW)) is stores


def test_white_space_in_a_query_means_nothing() -> None:
    first = msgspec.structs.replace(WEATHER, place=SqlPlace(sql="SELECT a FROM b", inputs=(WEATHER,)))
    second = msgspec.structs.replace(WEATHER, place=SqlPlace(sql="SELECT a\n  FROM b", inputs=(WEATHER,)))
    assert meaning(first) == meaning(second)


def test_a_record_survives_its_document() -> None:
    assert decode("view", encode(VIEW)) == VIEW
