"""What the served model did is judged against what it did in training, and against its budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.definition.model_gate import Behaves
from pipelines.gates.behaviour import Behaviour, judge_behaviour
from pipelines.ledger.records import Verdict

SERVED = Behaviour(requests=50, largest_difference=1e-12, latency_ms=3.0, memory_mb=200.0)


@pytest.mark.parametrize(
    ("changed", "verdict", "reason"),
    [
        ({}, "PASS", "50 served predictions are those of training, to 1e-12."),
        ({"largest_difference": 1e-3}, "FAIL", "A served prediction differs by 0.001 from that of training"),
        ({"largest_difference": float("nan")}, "FAIL", "A served prediction differs by nan"),
        ({"latency_ms": 80.0}, "FAIL", "The median request takes 80.0 ms, and 50.0 ms are allowed."),
        ({"memory_mb": 600.0}, "FAIL", "The server takes 600 MB, and 512 MB are allowed."),
        ({"failure": "it did not start."}, "FAIL", "The served model failed: it did not start."),
        ({"requests": 49}, "INCONCLUSIVE", "49 of 50 golden requests were answered."),
        ({"memory_mb": None}, "INCONCLUSIVE", "Its latency or memory was not measured"),
    ],
)
def test_the_served_model_is_the_trained_one_inside_its_budget(
    changed: dict[str, Any], verdict: str, reason: str
) -> None:
    result = judge_behaviour(Behaves(memory_mb=512), replace(SERVED, **changed))
    assert (result.verdict.value, result.reason[: len(reason)]) == (verdict, reason)
    assert result.proved == ("other predictions", "too slow", "too large")


def test_a_tolerance_of_everything_is_an_error() -> None:
    assert judge_behaviour(Behaves(tolerance=float("inf")), SERVED).verdict is Verdict.ERROR
    assert judge_behaviour(Behaves(latency_ms=float("inf")), SERVED).verdict is Verdict.ERROR


def test_what_was_not_tried_is_inconclusive() -> None:
    assert judge_behaviour(Behaves(), None).verdict is Verdict.INCONCLUSIVE
