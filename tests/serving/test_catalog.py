"""What is told of services, views and entities."""

from __future__ import annotations

import pytest

from serving import models
from tests.serving.servers import Asker

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
