"""POST /v1/models/{name}/predict on the example shop, whose clock stands at March 1: values count for ten days."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message

from featurestore.audit.records import LogFiles
from featurestore.store import FeatureStore
from pipelines.rooms import PipelineRooms, page_path
from serving.app import create_app, keys_of
from tests.serving.crowned import MODEL, crown, model_file
from tests.serving.servers import Asker, serving, shop
from tests.store.projects import NOW, PURCHASES, define

PREDICT = f"/v1/models/{MODEL}/predict"
FOREVER = PURCHASES.replace("    ttl=timedelta(days=10),\n", "")
ASKED = {"entities": [{"customer": "a"}, {"customer": "nobody"}], "request": [{"price": 5.0}, {"price": 1.0}]}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeatureStore]:
    with shop(tmp_path, FOREVER) as store:
        yield store


def settle() -> None:
    """The registry is asked whether it was touched at most every 10 ms."""
    asyncio.run(asyncio.sleep(0.02))


def test_an_answer_has_scores_ids_and_the_versions_of_model_and_features(store: FeatureStore) -> None:
    crown(store)
    answer = serving(store)("POST", PREDICT, json={**ASKED, "features": True})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    ids = told["predictions"].pop("ids")
    assert [one[16:] for one in ids] == ["-0", "-1"]
    assert told == {
        "model": "worth",
        "version": 1,
        "predictions": {"scores": [102.0, 103.0]},
        "at": "2024-03-01T00:00:00Z",
        "service": "buyer",
        "entities": {"customer": ["a", "nobody"]},
        "features": {
            "amount": {"view": "last", "values": [None, None], "statuses": ["NULL_VALUE", "NOT_FOUND"]},
            "items": {"view": "last", "values": [2, None], "statuses": ["PRESENT", "NOT_FOUND"]},
            "relative": {"view": None, "values": [None, None], "statuses": ["NULL_VALUE", "NULL_VALUE"]},
        },
        "views": {
            "last": {
                "view": "last",
                "version": 1,
                "table_version": 2,
                "watermark": "2024-03-01T00:00:00Z",
                "event_timestamps": ["2024-01-10T00:00:00Z", None],
                "ages_seconds": [51 * 86_400.0, None],
            }
        },
    }


def test_features_are_told_only_when_they_are_asked_for_and_columns_do_as_rows_do(store: FeatureStore) -> None:
    crown(store)
    columns = {"entities": {"customer": ["a", "nobody"]}, "request": {"price": [5.0, 1.0]}}
    told = serving(store)("POST", PREDICT, json=columns).json()
    assert "features" not in told
    assert told["predictions"]["scores"] == [102.0, 103.0]


@pytest.mark.parametrize(
    ("path", "question", "status", "kind"),
    [
        (PREDICT, {}, 400, "BadRequest"),
        (PREDICT, {"entities": [], "what": 1}, 400, "BadRequest"),
        (PREDICT, {"entities": []}, 422, "InputError"),
        (PREDICT, {"entities": [{"customer": "a"}]}, 422, "InputError"),
        (PREDICT, {"entities": [{"who": "a"}]}, 404, "UnknownNameError"),
        (PREDICT, {**ASKED, "at": "2020-01-01T00:00:00Z"}, 409, "NotPublishedError"),
        (PREDICT, {"entities": [{"customer": "a"}] * 1_001}, 413, "TooLarge"),
        ("/v1/models/other/predict", ASKED, 404, "UnknownNameError"),
    ],
)
def test_a_wrong_question_is_refused_in_one_form(
    store: FeatureStore, path: str, question: object, status: int, kind: str
) -> None:
    crown(store)
    answer = serving(store)("POST", path, json=question)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)


def test_the_champion_is_followed_without_a_restart(store: FeatureStore) -> None:
    ask = serving(store)
    assert ask("POST", PREDICT, json=ASKED).status_code == 404
    for version in (1, 2):
        crown(store)
        settle()
        ask("GET", "/v1/models")
        told = ask("POST", PREDICT, json=ASKED).json()
        assert (told["version"], told["predictions"]["scores"]) == (version, [100 * version + 2, 100 * version + 3])
    PipelineRooms(store).models.rollback(MODEL, reason="slow")
    settle()
    ask("GET", "/v1/models")
    assert ask("POST", PREDICT, json=ASKED).json()["version"] == 1


def test_a_model_is_asked_with_the_features_that_it_learned_from_whatever_is_applied_since(
    store: FeatureStore, tmp_path: Path
) -> None:
    crown(store)
    changed = FOREVER.replace('Feature("items", Int64)', 'Feature("items", Int64, expr="items * 10")')
    define(tmp_path, changed.replace("features=[last, ratio])", "features=[last])"))
    store.apply()
    store.materialize(NOW)
    ask = serving(store)
    assert ask.features(service="buyer", entities=[{"customer": "a"}]).json()["features"]["items"]["values"] == [20]
    told = ask("POST", PREDICT, json={**ASKED, "features": True}).json()
    assert told["features"]["items"]["values"] == [2, None]
    assert (told["views"]["last"]["version"], told["predictions"]["scores"]) == (1, [102.0, 103.0])


def test_a_missing_file_leaves_the_model_before_in_its_place_until_it_is_back(store: FeatureStore) -> None:
    crown(store)
    ask = serving(store)
    second = crown(store)
    path = model_file(store, second)
    content = path.read_bytes()
    path.unlink()
    settle()
    [told] = ask("GET", "/v1/models").json()["models"]
    assert (told["champion"], told["serves"]["version"]) == (2, 1)
    assert "cannot be read: No such file" in told["fault"]
    assert ask("POST", PREDICT, json=ASKED).json()["version"] == 1
    refused = serving(store)("POST", PREDICT, json=ASKED)  # a server that was just started
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "'worth' cannot be served: Model file" in refused.json()["error"]["message"]
    path.write_bytes(content)
    asyncio.run(asyncio.sleep(0.6))  # a failed reading is tried again after half a second
    ask("GET", "/v1/models")
    assert ask("POST", PREDICT, json=ASKED).json()["version"] == 2


def test_a_server_is_ready_when_each_model_with_a_champion_is_served_by_a_version_of_it(store: FeatureStore) -> None:
    def ready(ask: Asker) -> tuple[int, object, set[str]]:
        answer = ask("GET", "/readyz")
        return answer.status_code, answer.json()["models"], set(answer.json()["model_faults"])

    ask = serving(store)
    assert ready(ask) == (200, {}, set())
    crown(store)
    settle()
    assert ready(ask) == (200, {"worth": 1}, set())
    second = model_file(store, crown(store))
    content = second.read_bytes()
    second.unlink()
    settle()
    assert ready(ask) == (200, {"worth": 1}, {"worth"})
    started_now = serving(store)
    assert ready(started_now) == (503, {}, {"worth"})
    assert started_now("GET", "/v2/health/ready").status_code == 503
    second.write_bytes(content)
    asyncio.run(asyncio.sleep(0.6))  # a failed reading is tried again after half a second
    assert ready(started_now) == (200, {"worth": 2}, set())


def test_a_model_whose_only_version_was_put_away_has_no_champion_to_be_ready_with(store: FeatureStore) -> None:
    model_file(store, crown(store)).write_bytes(b"other")
    told = serving(store)("GET", "/readyz")
    assert (told.status_code, told.json()["models"]) == (200, {})
    assert "is not the one that was registered" in told.json()["model_faults"]["worth"]


def test_a_model_that_cannot_be_loaded_is_logged_once_however_often_it_is_tried(
    store: FeatureStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("featurestore.serving"), "propagate", True)
    path = model_file(store, crown(store))
    content = path.read_bytes()
    path.unlink()
    ask = serving(store)
    asyncio.run(asyncio.sleep(0.6))  # a failed reading is tried again after half a second
    assert ask("GET", "/v1/models").json()["models"][0]["serves"] is None
    assert caplog.text.count("cannot be loaded") == 1
    path.write_bytes(content)


def test_a_tampered_file_is_put_away_and_the_model_before_goes_on(store: FeatureStore) -> None:
    crown(store)
    ask = serving(store)
    second = crown(store)
    model_file(store, second).write_bytes(b"other")
    settle()
    [told] = ask("GET", "/v1/models").json()["models"]
    assert (told["champion"], told["serves"]["version"], told["fault"]) == (1, 1, None)
    assert ask("POST", PREDICT, json=ASKED).json()["version"] == 1
    states = {model.version: model.state.value for model in PipelineRooms(store).ledger.models(MODEL)}
    assert states == {1: "CHAMPION", 2: "QUARANTINED"}
    assert page_path(PipelineRooms(store), second.run).is_file()  # the page of its run was written again


def test_a_tampered_file_that_is_the_only_one_is_refused_with_the_reason(store: FeatureStore) -> None:
    model_file(store, crown(store)).write_bytes(b"other")
    ask = serving(store)
    refused = ask("POST", PREDICT, json=ASKED)
    assert refused.status_code == 503
    assert "is not the one that was registered: its SHA-256 is" in refused.json()["error"]["message"]
    [told] = ask("GET", "/v1/models").json()["models"]
    assert (told["champion"], told["serves"]) == (None, None)


def test_a_model_tells_what_to_ask_it_with(store: FeatureStore) -> None:
    version = crown(store)
    ask = serving(store)
    told = ask("GET", "/v1/models/worth").json()
    assert told == {
        "name": "worth",
        "champion": 1,
        "serves": {
            "version": 1,
            "digest": version.digest,
            "estimator": "DecisionTreeRegressor",
            "label": "worth",
            "kind": "regression",
            "service": "buyer",
            "join_keys": [{"name": "customer", "type": "String"}],
            "request": [{"name": "price", "type": "Float64"}],
            "inputs": [{"name": "items", "type": "Int64"}, {"name": "relative", "type": "Float64"}],
            "views": {"last": 1},
            "dataset": "worth@1",
            "metrics": {"rmse": 0.5},
        },
        "fault": None,
    }
    assert ask("GET", "/v1/models/other").status_code == 404


def test_a_key_that_is_limited_to_other_views_predicts_nothing(store: FeatureStore) -> None:
    crown(store)
    keys = keys_of(store)
    for views, status in ((["buyer"], 200), (["last"], 200), (["other"], 403)):
        _, secret = keys.create("limited", ["predict"], "ann", views=views)
        headers = {"authorization": f"Bearer {secret}"}
        ask = Asker(create_app(store))
        assert ask("POST", PREDICT, json=ASKED, headers=headers).status_code == status
        assert ask("GET", "/v1/models/worth", headers=headers).status_code == status
        told = ask("GET", "/v1/models", headers=headers).json()["models"]
        assert [model["name"] for model in told] == ["worth"] * (status == 200)


def test_predictions_are_counted(store: FeatureStore) -> None:
    crown(store)
    ask = serving(store)
    ask("POST", PREDICT, json=ASKED)
    told = ask("GET", "/metrics").text
    assert 'featurestore_predictions_total{logged="yes",model="worth",version="1"} 2.0' in told
    assert "featurestore_faulty_models 0.0" in told


def test_what_was_predicted_is_in_the_log_under_the_id_that_was_told(store: FeatureStore, tmp_path: Path) -> None:
    crown(store)
    app = create_app(store)
    ids = Asker(app)("POST", PREDICT, json=ASKED).json()["predictions"]["ids"]
    asyncio.run(ended(app))
    files = LogFiles(tmp_path / "data" / "predictions")
    [(path, facts)] = files.files(MODEL)
    assert (facts.service, facts.model, facts.model_version, facts.dropped) == ("buyer", "worth", 1, 0)
    rows = files.read(path).to_pylist()
    assert [f"{row['id']}-{row['row']}" for row in rows] == ids
    assert [row["score"] for row in rows] == [102.0, 103.0]
    assert [row["keys"]["customer"] for row in rows] == ["a", "nobody"]
    assert [row["request"]["price"] for row in rows] == [5.0, 1.0]
    assert [row["features"]["items"] for row in rows] == [2, None]
    assert [row["asked_at"] for row in rows] == [NOW, NOW]


async def ended(app: ASGIApp) -> None:
    """The application is told that the server shuts down."""
    told = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Message:
        return next(told)

    async def send(_: Message) -> None: ...

    await app({"type": "lifespan"}, receive, send)
