"""The Open Inference Protocol on the example shop: by hand, and with Triton's own client."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.audit.records import LogFiles
from featurestore.store import FeatureStore
from tests.serving.crowned import MODEL, crown, model_file
from tests.serving.servers import Asker, running, serving, shop
from tests.serving.test_predict import FOREVER

CLIENTS = Path(sys.prefix) / "feast" / "bin" / "python"
INFER = f"/v2/models/{MODEL}/infer"
CUSTOMER = {"name": "customer", "datatype": "BYTES", "shape": [2], "data": ["a", "nobody"]}
PRICE = {"name": "price", "datatype": "FP64", "shape": [2, 1], "data": [[5.0], [1.0]]}
ITEMS = {"name": "items", "datatype": "INT64", "shape": [2], "data": [1, None]}
RELATIVE = {"name": "relative", "datatype": "FP64", "shape": [2], "data": [0.5, None]}
TEXTS = struct.pack("<I", 1) + b"a" + struct.pack("<I", 6) + b"nobody"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    with shop(tmp_path_factory.mktemp("inferring"), FOREVER) as store:
        crown(store)
        yield store


@pytest.fixture(scope="module")
def ask(store: FeatureStore) -> Asker:
    return serving(store)


def test_features_are_looked_up_and_predictions_have_ids(ask: Asker) -> None:
    told = ask("POST", INFER, json={"id": "q1", "inputs": [CUSTOMER, PRICE]}).json()
    score, ids = told.pop("outputs")
    assert told == {"model_name": "worth", "model_version": "1", "id": "q1"}
    assert score == {"name": "score", "datatype": "FP64", "shape": [2], "data": [102.0, 103.0]}
    assert (ids["name"], ids["datatype"], [one[16:] for one in ids["data"]]) == ("prediction_id", "BYTES", ["-0", "-1"])


def test_a_whole_vector_is_scored_as_it_is_nulls_included(ask: Asker) -> None:
    told = ask("POST", f"/v2/models/{MODEL}/versions/1/infer", json={"inputs": [ITEMS, RELATIVE]}).json()
    assert told["outputs"] == [{"name": "score", "datatype": "FP64", "shape": [2], "data": [101.0, 103.0]}]


def test_raw_tensors_lie_behind_the_json_in_both_directions(ask: Asker) -> None:
    raw = {"name": "customer", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(TEXTS)}}
    head = json.dumps({"inputs": [raw, PRICE], "outputs": [{"name": "score", "parameters": {"binary_data": True}}]})
    answer = ask(
        "POST",
        INFER,
        content=head.encode() + TEXTS,
        headers={
            "inference-header-content-length": str(len(head)),
            "content-type": "application/octet-stream",
        },
    )
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["inference-header-content-length"])
    [score] = json.loads(answer.content[:length])["outputs"]
    assert score == {"name": "score", "datatype": "FP64", "shape": [2], "parameters": {"binary_data_size": 16}}
    assert struct.unpack("<2d", answer.content[length:]) == (102.0, 103.0)


def test_a_model_says_what_it_is_asked_with(ask: Asker) -> None:
    assert ask("GET", f"/v2/models/{MODEL}").json() == {
        "name": "worth",
        "versions": ["1"],
        "platform": "scikit-learn_skops",
        "inputs": [
            {"name": "customer", "datatype": "BYTES", "shape": [-1]},
            {"name": "price", "datatype": "FP64", "shape": [-1]},
        ],
        "outputs": [
            {"name": "score", "datatype": "FP64", "shape": [-1]},
            {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]},
        ],
    }


@pytest.mark.parametrize(
    ("question", "status", "said"),
    [
        ({"inputs": [CUSTOMER, PRICE], "outputs": [{"name": "score"}] * 2}, 400, "asked for twice"),
        ({}, 400, "missing required field `inputs`"),
        ({"inputs": []}, 400, "have no rows"),
        ({"inputs": [CUSTOMER]}, 422, "is asked with customer, price, or with all of its inputs items, relative"),
        ({"inputs": [CUSTOMER, {**PRICE, "shape": [1], "data": [5.0]}]}, 400, "have [1, 2] rows"),
        ({"inputs": [CUSTOMER, {**PRICE, "shape": [3]}]}, 400, "has 2 values and the shape [3]"),
        ({"inputs": [CUSTOMER, {**PRICE, "shape": [1, 2]}]}, 400, "is neither [rows] nor [rows, 1]"),
        ({"inputs": [CUSTOMER, CUSTOMER]}, 400, "it is given twice"),
        ({"inputs": [CUSTOMER, {**PRICE, "datatype": "FP9"}]}, 400, "there is no datatype 'FP9'"),
        ({"inputs": [CUSTOMER, {**PRICE, "data": ["x", "y"]}]}, 422, "is no Float64"),
        ({"inputs": [CUSTOMER, PRICE], "outputs": [{"name": "what"}]}, 400, "There is no output 'what'"),
        ({"inputs": [{**CUSTOMER, "parameters": {"binary_data_size": 9}}, PRICE]}, 400, "is beyond the body"),
    ],
)
def test_a_wrong_question_is_refused_with_a_text(ask: Asker, question: object, status: int, said: str) -> None:
    answer = ask("POST", INFER, json=question)
    assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text


def test_a_version_that_does_not_serve_is_not_found(ask: Asker) -> None:
    for path in ("", "/ready"):
        answer = ask("GET", f"/v2/models/{MODEL}/versions/2{path}")
        assert (answer.status_code, answer.json()) == (
            404,
            {"error": "Version '2' does not serve; version 1 does."},
        )


def test_a_server_whose_model_cannot_be_loaded_is_not_ready(tmp_path: Path) -> None:
    with shop(tmp_path, FOREVER) as store:
        path = model_file(store, crown(store))
        content = path.read_bytes()
        path.unlink()
        assert serving(store)("GET", "/v2/health/ready").status_code == 503
        path.write_bytes(content)
        assert serving(store)("GET", "/v2/health/ready").json() == {"ready": True}


def test_tritons_own_client_asks_us_unchanged(tmp_path: Path) -> None:
    if not CLIENTS.exists():
        assert "CI" not in os.environ, "`make test` makes the clients' environment"
        pytest.skip("The environment of clients is missing: make .venv/feast/.packages")
    with shop(tmp_path, FOREVER) as store:
        crown(store)
    program = Path(__file__).with_name("triton_client.py")
    with running(tmp_path) as server:
        command = [str(CLIENTS), str(program), server.url.removeprefix("http://")]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    told = json.loads(asked.stdout.splitlines()[-1])
    ids = [told[form].pop("ids") for form in ("json", "binary")]
    expected = {"id": "q1", "version": "1", "scores": [102.0, 103.0]}
    assert (told["json"], told["binary"], told["vector"]) == (expected, expected, [101.0, 102.0])
    assert (told["live"], told["ready"], told["model_ready"], told["others_ready"]) == (
        True,
        True,
        [True, True],
        [False, False],
    )
    assert (told["server"]["name"], told["model"]["name"]) == ("featurestore", "worth")
    assert "There is no model 'other'" in told["refused"]
    files = LogFiles(tmp_path / "data" / "predictions")
    logged = [f"{row['id']}-{row['row']}" for path, _ in files.files(MODEL) for row in files.read(path).to_pylist()]
    assert sorted(logged) == sorted([*ids[0], *ids[1]])
