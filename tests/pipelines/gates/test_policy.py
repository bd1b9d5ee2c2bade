"""A gate's policy is its meaning: it changes with what the gate would decide, and with nothing else."""

from __future__ import annotations

from datetime import timedelta

import pandera.polars as pandera
import pytest

from pipelines.definition.data_gate import Contract, DataCheck, Drift, Freshness, NullRate, Volume
from pipelines.definition.model_gate import AtLeast, ModelCheck, Slices
from pipelines.gates.policy import policy_digest


class Warm(pandera.DataFrameModel):
    temp: float = pandera.Field(ge=0)


class AlsoWarm(pandera.DataFrameModel):
    """The same under another name."""

    temp: float = pandera.Field(ge=0)


class Hot(pandera.DataFrameModel):
    temp: float = pandera.Field(ge=30)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Contract(Warm), Contract(AlsoWarm)),
        (Freshness(timedelta(hours=24)), Freshness(timedelta(days=1))),
        (Volume(min_rows=1, max_change=1), Volume(min_rows=1, max_change=1.0)),
        (Slices(by=["a"], metric="mae", min_rows=1, max_gap=1), Slices(by=("a",), metric="mae", min_rows=1, max_gap=1)),
    ],
)
def test_equal_meanings_have_equal_digests(one: DataCheck | ModelCheck, other: DataCheck | ModelCheck) -> None:
    assert policy_digest([one]) == policy_digest([other])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Contract(Warm), Contract(Hot)),
        (Freshness(timedelta(hours=24)), Freshness(timedelta(hours=23))),
        (NullRate(max_increase=0.1), NullRate(max_increase=0.1, columns=["a"])),
        (Drift(psi=0.2), Drift(psi=0.2, on_drift="fail")),
        (Drift(psi=0.2), Drift(js=0.2)),
        (AtLeast("mae", 1), AtLeast("rmse", 1)),
    ],
)
def test_other_meanings_have_other_digests(one: DataCheck | ModelCheck, other: DataCheck | ModelCheck) -> None:
    assert policy_digest([one]) != policy_digest([other])
    assert policy_digest([one]) != policy_digest([one, one]) != policy_digest([])
