"""Feast's wire format: what its server would answer, and what its own client makes of our answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.serving.servers import Asker, running
from tests.store.projects import NOW, day, make_project

FEAST = Path(sys.prefix) / "feast" / "bin" / "python"
TYPES = """
customer = Entity("customer", join_keys={"customer": String})
purchases = ParquetSource("purchases", path="data/purchases.parquet", event_timestamp="at")
last = FeatureView(
    "last",
    entities=[customer],
    source=purchases,
    features=[
        Feature("amount", Float64), Feature("items", Int64), Feature("member", Bool), Feature("seen", Timestamp),
        Feature("tags", List(String)),
    ],
)
buyer = FeatureService("buyer", features=[last])
"""


def _purchases() -> pl.DataFrame:
    instant = pl.Datetime("us", "UTC")
    return pl.DataFrame(
        {
            "customer": ["a", "b"],
            "at": [day(2), day(5)],
            "amount": [2.5, None],
            "items": [2**60 + 1, 3],
            "member": [True, False],
            "seen": [day(1), None],
            "tags": [["new", "big"], ["old"]],
        },
        schema_overrides={"at": instant, "seen": instant},
    )


def test_an_answer_has_the_form_of_feasts_server(ask: Asker) -> None:
    answer = ask("POST", "/get-online-features", json={
        "features": ["last:items", "ratio:relative"],
        "entities": {"customer": ["b", "nobody"], "price": [1.0, 2.0]},
    })  # fmt: skip
    assert answer.status_code == 200
    none = "1970-01-01T00:00:00Z"
    assert answer.json() == {
        "metadata": {"feature_names": ["customer", "items", "relative"]},
        "results": [
            {"values": ["b", "nobody"], "statuses": ["PRESENT", "PRESENT"], "event_timestamps": [none, none]},
            {
                "values": [None, None],
                "statuses": ["OUTSIDE_MAX_AGE", "NOT_FOUND"],
                "event_timestamps": ["2024-01-05T00:00:00Z", none],
            },
            {"values": [None, None], "statuses": ["NULL_VALUE", "NULL_VALUE"], "event_timestamps": [none, none]},
        ],
    }


def test_full_names_bear_the_view(ask: Asker) -> None:
    answer = ask("POST", "/get-online-features", json={
        "feature_service": "buyer", "entities": {"customer": ["b"], "price": [1.0]}, "full_feature_names": True,
    })  # fmt: skip
    names = ["customer", "last__amount", "last__items", "ratio__relative"]
    assert answer.json()["metadata"]["feature_names"] == names


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"entities": {"customer": ["a"]}}, 400),
        ({"features": ["last:amount"], "entities": [1]}, 400),
        ({"features": ["last:amount"], "entities": {"who": ["a"]}}, 404),
        ({"feature_service": "nobody", "entities": {}}, 404),
    ],
)
def test_a_wrong_question_is_refused(ask: Asker, body: object, status: int) -> None:
    assert ask("POST", "/get-online-features", json=body).status_code == status


def test_health_answers_as_feasts_does(ask: Asker) -> None:
    assert ask("GET", "/health").status_code == 200


def test_feasts_own_client_reads_from_us_unchanged(tmp_path: Path) -> None:
    if not FEAST.exists():
        assert "CI" not in os.environ, "`make test` makes Feast's environment"
        pytest.skip("Feast's environment is missing: make .venv/feast/.packages")
    (tmp_path / "feast").mkdir()
    with make_project(tmp_path, TYPES, purchases=_purchases()) as store:
        store.apply()
        store.materialize(NOW)
    program = Path(__file__).with_name("feast_client.py")
    with running(tmp_path) as server:
        command = [str(FEAST), str(program), server.url, str(tmp_path / "feast")]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    told = json.loads(asked.stdout.splitlines()[-1])
    values = {
        "customer": ["a", "b", "nobody"],
        "amount": [2.5, None, None],
        "items": [2**60 + 1, 3, None],
        "member": [True, False, None],
        "tags": [["new", "big"], ["old"], None],
    }
    january = int(day(1).timestamp())
    assert told["features"] == values
    assert told["full_names"] == {"customer": ["a"], "last__amount": [2.5]}
    assert told["service"] == {**values, "seen": [january, None, None]}
    assert told["read"] == [
        {"amount": ["double_val", 2.5], "items": ["int64_val", 2**60 + 1], "seen": ["unix_timestamp_val", january]},
        {"amount": None, "items": ["int64_val", 3], "seen": None},
        {"amount": None, "items": None, "seen": None},
    ]
