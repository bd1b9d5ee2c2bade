"""POST /v1/features on the example shop: a bought on January 2 and 10, b on January 5; values count for ten days."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.serving.servers import Asker, serving, shop
from tests.store.projects import NOW, PURCHASES, define

PRICE = [{"price": 10.0}]


def test_an_answer_holds_values_statuses_event_times_ages_and_versions(ask: Asker) -> None:
    answer = ask.features(service="buyer", entities=[{"customer": "a"}], request=PRICE)
    assert answer.status_code == 200
    assert answer.json() == {
        "at": "2024-03-01T00:00:00Z",
        "service": "buyer",
        "entities": {"customer": ["a"]},
        "features": {
            "amount": {"view": "last", "values": [None], "statuses": ["OUTSIDE_MAX_AGE"]},
            "items": {"view": "last", "values": [None], "statuses": ["OUTSIDE_MAX_AGE"]},
            "relative": {"view": None, "values": [None], "statuses": ["NULL_VALUE"]},
        },
        "views": {
            "last": {
                "view": "last",
                "version": 1,
                "table_version": 2,
                "watermark": "2024-03-01T00:00:00Z",
                "event_timestamps": ["2024-01-10T00:00:00Z"],
                "ages_seconds": [51 * 86_400.0],
            }
        },
    }


@pytest.mark.parametrize(
    ("question", "status", "kind"),
    [
        ({}, 400, "BadRequest"),
        ({"entities": []}, 400, "BadRequest"),
        ({"service": "buyer", "features": ["last:amount"], "entities": []}, 400, "BadRequest"),
        ({"service": "nobody", "entities": []}, 404, "UnknownNameError"),
        ({"features": ["last:nothing"], "entities": []}, 404, "UnknownNameError"),
        ({"features": ["last:amount"], "entities": [{"client": "a"}]}, 404, "UnknownNameError"),
        ({"features": ["last:amount"], "entities": [{}]}, 422, "InputError"),
        ({"features": ["last:amount"], "entities": [{"customer": 1}]}, 422, "InputError"),
        ({"features": ["last:amount"], "entities": [{"customer": "a"}], "at": "noon"}, 422, "InputError"),
        ({"features": ["last:amount"], "entities": [{"customer": "a"}], "request": [{}, {}]}, 422, "InputError"),
        ({"features": ["last:amount"], "entities": [{"customer": "a"}], "at": "2020-01-01T00:00:00Z"}, 409,
         "NotPublishedError"),
    ],
)  # fmt: skip
def test_a_wrong_question_is_refused_in_one_form(
    ask: Asker, question: dict[str, object], status: int, kind: str
) -> None:
    answer = ask.features(**question)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"type", "message"}
    assert answer.json()["error"]["type"] == kind


def test_what_is_applied_and_not_built_yet_is_refused_until_it_is(tmp_path: Path) -> None:
    with shop(tmp_path) as store:
        ask = serving(store)
        more = PURCHASES.replace(
            'Feature("items", Int64)', 'Feature("items", Int64), Feature("twice", Int64, expr="items * 2")'
        )
        define(tmp_path, more + 'more = FeatureService("more", features=[last[["twice"]]])\n')
        store.apply()
        for asked in ({"features": ["last:twice"]}, {"service": "more"}):
            refused = ask.features(**asked, entities=[{"customer": "a"}])
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert refused.json()["error"]["type"] == "NotServingError"
        store.materialize(NOW)
        assert ask.features(service="more", entities=[{"customer": "a"}]).status_code == 200
