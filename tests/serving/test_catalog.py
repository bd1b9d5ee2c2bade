"""What is told of services, views and entities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from featurestore.store import FeatureStore
from serving import models
from serving.app import keys_of
from tests.serving.servers import Asker, serving, shop
from tests.store.projects import NOW, PURCHASES, define, open_project

NAMES = {"join_keys": [{"name": "customer", "type": "String"}], "description": "", "owner": "", "tags": {}}


def test_a_service_tells_what_to_ask_it_with_and_what_it_answers(ask: Asker) -> None:
    assert ask("GET", "/v1/services/buyer").json() == {
        **NAMES,
        "name": "buyer",
        "request": [{"name": "price", "type": "Float64"}],
        "features": [
            {"name": "amount", "type": "Float64", "source": "last:amount", "description": ""},
            {"name": "items", "type": "Int64", "source": "last:items", "description": ""},
            {"name": "relative", "type": "Float64", "source": "ratio:relative", "description": ""},
        ],
        "views": ["last", "ratio"],
        "fault": None,
    }


def test_a_view_tells_its_schema_and_freshness(ask: Asker) -> None:
    """Its clock stands at March 1, where the view is materialized to."""
    assert ask("GET", "/v1/views/last").json() == {
        **NAMES,
        "name": "last",
        "kind": "view",
        "version": 1,
        "entities": ["customer"],
        "request": [],
        "features": [
            {"name": "amount", "type": "Float64", "source": None, "description": ""},
            {"name": "items", "type": "Int64", "source": None, "description": ""},
        ],
        "ttl_seconds": 864_000.0,
        "freshness": {
            "published": True, "table_version": 2, "watermark": "2024-03-01T00:00:00Z", "lag_seconds": 0.0,
        },
    }  # fmt: skip


def test_a_view_computed_at_request_time_has_no_freshness(ask: Asker) -> None:
    view = ask("GET", "/v1/views/ratio").json()
    assert (view["kind"], view["freshness"], view["entities"]) == ("on_demand", None, ["customer"])
    assert view["request"] == [{"name": "price", "type": "Float64"}]


def test_an_entity_tells_its_join_keys(ask: Asker) -> None:
    assert ask("GET", "/v1/entities/customer").json() == {**NAMES, "name": "customer"}


@pytest.mark.parametrize(
    ("kind", "names"), [("services", ["buyer"]), ("views", ["last", "ratio"]), ("entities", ["customer"])]
)
def test_lists_hold_what_is_told_of_each(ask: Asker, kind: str, names: list[str]) -> None:
    listed = ask("GET", f"/v1/{kind}").json()
    assert listed == {kind: [ask("GET", f"/v1/{kind}/{name}").json() for name in names]}


@pytest.mark.parametrize("kind", ["services", "views", "entities"])
def test_an_unknown_name_is_404_and_names_what_there_is(ask: Asker, kind: str) -> None:
    answer = ask("GET", f"/v1/{kind}/nobody")
    assert answer.status_code == 404
    refusal = models.Refusal.model_validate(answer.json())
    assert refusal.error.type == "UnknownNameError"
    assert "Available:" in refusal.error.message


MORE = """
shop = Entity("shop", join_keys={"shop": String})
sales = pl.DataFrame({"shop": ["s"], "at": [datetime(2024, 1, 1, tzinfo=UTC)], "revenue": [1.0]})
sold = FeatureView(
    "sold",
    entities=[shop],
    source=FrameSource("sales", frame=sales, event_timestamp="at"),
    features=[Feature("revenue", Float64)],
)
today = OnDemandFeatureView("today", inputs=[request], features={"dear": pl.col("price") > 9})
seller = FeatureService("seller", features=[sold])
both = FeatureService("both", features=[sold, last])
"""


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    with shop(tmp_path_factory.mktemp("larger"), "from datetime import UTC, datetime\n" + PURCHASES + MORE) as store:
        yield store


@pytest.mark.parametrize(
    ("only", "services", "views", "entities"),
    [
        (["last"], ["buyer"], ["last", "ratio", "today"], ["customer"]),
        (["sold"], ["seller"], ["sold", "today"], ["shop"]),
        (["last", "sold"], ["both", "buyer", "seller"], ["last", "ratio", "sold", "today"], ["customer", "shop"]),
        (["buyer"], ["buyer"], ["today"], ["customer"]),
        (["both"], ["both"], ["today"], ["customer", "shop"]),
    ],
)
def test_a_key_that_is_limited_is_told_of_what_it_may_read_only(
    larger: FeatureStore, only: list[str], services: list[str], views: list[str], entities: list[str]
) -> None:
    _, key = keys_of(larger).create("one", ["features:read"], "ann", views=only)
    ask, headers = serving(larger), {"authorization": f"Bearer {key}"}
    every = {
        "services": ["both", "buyer", "seller"],
        "views": ["last", "ratio", "sold", "today"],
        "entities": ["customer", "shop"],
    }
    for kind, told in (("services", services), ("views", views), ("entities", entities)):
        listed = ask("GET", f"/v1/{kind}", headers=headers).json()[kind]
        assert sorted(one["name"] for one in listed) == told
        for name in every[kind]:
            answer = ask("GET", f"/v1/{kind}/{name}", headers=headers)
            assert answer.status_code == (200 if name in told else 403), name
        missing = ask("GET", f"/v1/{kind}/nobody", headers=headers)
        assert (missing.status_code, [name in missing.json()["error"]["message"] for name in every[kind]]) == (
            404,
            [name in told for name in every[kind]],
        )
    for service in every["services"]:
        asked: dict[str, Any] = {"service": service, "entities": []}
        answer = ask("POST", "/v1/features", json=asked, headers=headers)
        assert (answer.status_code == 403) == (service not in services), answer.text
    for view in every["views"]:
        asked = {"features": [f"{view}:*"], "entities": []}
        answer = ask("POST", "/v1/features", json=asked, headers=headers)
        assert (answer.status_code == 403) == (view not in views), answer.text
    document = ask("GET", "/openapi.json", headers=headers).json()
    example = document["paths"]["/v1/features"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert example["service"] in services


def test_a_service_that_pins_a_version_tells_of_the_features_of_that_version(tmp_path: Path) -> None:
    shop(tmp_path).close()
    of_old = PURCHASES.replace("features=[last, ratio]", 'features=[last.version(1)[["items"]], ratio]')
    define(tmp_path, of_old.replace(', Feature("items", Int64)', ""))
    with open_project(tmp_path) as store:
        store.apply()
        store.materialize(NOW)
        told = serving(store)("GET", "/v1/services/buyer").json()
        assert [feature["name"] for feature in told["features"]] == ["items", "relative"]
