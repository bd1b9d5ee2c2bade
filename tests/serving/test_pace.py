"""When a model is asked on the event loop: once it has shown that it is quick, until it shows that it is not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

from serving.app import create_app
from serving.pace import QUICK_SECONDS, SLOW_SECONDS, Pace
from tests.serving.crowned import MODEL, crown
from tests.serving.servers import Asker, shop

QUICK, SLOW = QUICK_SECONDS / 2, SLOW_SECONDS * 2


def took(pace: Pace, *seconds: float) -> bool:
    for one in seconds:
        pace.took(one)
    return pace.is_quick


def test_a_model_is_quick_once_most_of_nine_requests_were() -> None:
    assert not took(Pace(), *[QUICK] * 8)
    assert took(Pace(), *[QUICK] * 9)
    assert took(Pace(), *[SLOW] * 4, *[QUICK] * 5)
    assert not took(Pace(), *[SLOW] * 5, *[QUICK] * 4)


def test_a_quick_model_that_slows_down_is_slow_for_ten_times_as_many_requests_and_then_for_ten_times_more() -> None:
    pace = Pace()
    assert took(pace, *[QUICK] * 9)
    assert took(pace, *[SLOW] * 4, *[QUICK] * 5), "one slow request in two is no reason"
    assert not took(pace, *[SLOW] * 5)
    assert not took(pace, *[QUICK] * 89)
    assert took(pace, QUICK)
    assert not took(pace, *[SLOW] * 9)
    assert not took(pace, *[QUICK] * 899)
    assert took(pace, QUICK)


def test_a_quick_model_is_asked_on_the_event_loop_and_uses_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[bool, set[int]]] = []

    def predict(_: object, frame: object) -> list[float]:
        pools = {pool["num_threads"] for pool in threadpool_info()}
        asked.append((threading.current_thread() is threading.main_thread(), pools))
        return [1.0]

    monkeypatch.setattr("sklearn.tree.DecisionTreeRegressor.predict", predict)
    monkeypatch.setattr("serving.pace.QUICK_SECONDS", 10.0)
    with shop(tmp_path) as store:
        crown(store)
        ask = Asker(create_app(store))
        for _ in range(12):
            answer = ask(
                "POST",
                f"/v1/models/{MODEL}/predict",
                json={"entities": [{"customer": "a"}], "request": [{"price": 1.0}]},
            )
            assert answer.status_code == 200, answer.text
            assert answer.json()["predictions"]["scores"] == [1.0]
    assert [on_loop for on_loop, _ in asked] == [False] * 9 + [True] * 3
    assert all(pools == {1} for _, pools in asked)
