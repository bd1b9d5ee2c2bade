"""A model of scikit-learn's own that reads no names is asked with arrays, and answers what it answers to frames."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectFromModel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, PolynomialFeatures, StandardScaler

from featurestore.errors import InputError
from pipelines.frames import online_array, online_frame
from pipelines.models.nameless import nameless
from pipelines.models.scoring import kind_of, score

NAMES = ("a", "b", "c")
INPUTS = (("a", "Float64"), ("b", "Int64"), ("c", "Bool"))
ROWS = pl.DataFrame(np.random.default_rng(1).normal(size=(200, 3)), schema=list(NAMES))
LABELS = (ROWS["a"].to_numpy() + ROWS["b"].to_numpy() ** 2 > 0.8).astype(int)


class Subclass(LogisticRegression):  # type: ignore[misc]  # scikit-learn has no types
    """What another's code may do, nobody knows."""


class Own(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # as above
    """A user's estimator, which reads names."""

    def fit(self, rows: pl.DataFrame, _: Any) -> Own:
        self.first_ = rows.columns[0]
        self.classes_ = np.array([0, 1])
        return self


WITHOUT_NAMES: list[Callable[[], Any]] = [
    LogisticRegression,
    LinearRegression,
    GaussianNB,
    lambda: HistGradientBoostingClassifier(max_iter=5),
    lambda: HistGradientBoostingRegressor(max_iter=5),
    lambda: RandomForestClassifier(n_estimators=3, random_state=0),
    lambda: BaggingClassifier(n_estimators=2, random_state=0),
    lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    lambda: make_pipeline(SimpleImputer(), PolynomialFeatures(2), StandardScaler(), LinearRegression()),
    lambda: make_pipeline(KBinsDiscretizer(3, strategy="uniform"), LogisticRegression()),
]
WITH_NAMES: list[Callable[[], Any]] = [
    Subclass,
    Own,
    lambda: make_pipeline(ColumnTransformer([("one", StandardScaler(), ["b"])]), LogisticRegression()),
    lambda: make_pipeline(FunctionTransformer(lambda rows: rows.select("a")), LogisticRegression()),
    lambda: make_pipeline(FunctionTransformer(), LogisticRegression()),
    lambda: make_pipeline("passthrough", LogisticRegression()),
    lambda: make_pipeline(StandardScaler().set_output(transform="polars"), LogisticRegression()),
    lambda: make_pipeline(SelectFromModel(LogisticRegression()), LogisticRegression()),
    lambda: VotingClassifier([("one", LogisticRegression()), ("other", GaussianNB())]),
    lambda: CalibratedClassifierCV(LogisticRegression(), cv=2),
    lambda: HistGradientBoostingClassifier(max_iter=5, categorical_features=["b"]),
    lambda: make_pipeline(make_pipeline(StandardScaler()), LogisticRegression()),
]


def fitted(make: Callable[[], Any]) -> Any:
    """The model after training on a frame."""
    frame = ROWS.with_columns(pl.col("b").round().clip(0, 5).alias("b"))
    return make().fit(frame, LABELS)


@pytest.mark.parametrize("make", WITHOUT_NAMES)
def test_array_gets_the_answer_of_the_frame_without_a_warning(make: Callable[[], Any]) -> None:
    model = fitted(make)
    bare = nameless(model)
    assert bare is not None
    frame = ROWS.with_columns(pl.col("b").round().clip(0, 5).alias("b")).head(7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for row in (frame[i] for i in range(7)):
            expected = score(model, row, kind_of(model))
            assert score(bare, row.to_numpy(), kind_of(model)).tobytes() == expected.tobytes()


@pytest.mark.parametrize("make", WITHOUT_NAMES)
def test_the_model_itself_goes_on_knowing_names(make: Callable[[], Any]) -> None:
    model = fitted(make)
    nameless(model)
    assert model.feature_names_in_.tolist() == list(NAMES)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(ROWS.head(1).rename({"a": "z"}))


@pytest.mark.parametrize("make", WITH_NAMES)
def test_what_may_read_names_is_asked_with_frames(make: Callable[[], Any]) -> None:
    assert nameless(fitted(make)) is None


def test_a_model_that_is_no_estimator_is_asked_with_frames() -> None:
    assert nameless(object()) is None
    assert nameless(Pipeline) is None


@given(
    st.lists(
        st.tuples(st.none() | st.floats(), st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.booleans()),
        min_size=1,
        max_size=5,
    )
)
def test_array_has_the_values_of_the_frame(rows: list[tuple[Any, ...]]) -> None:
    columns = {name: [row[i] for row in rows] for i, name in enumerate(NAMES)}
    made = online_array(INPUTS)
    assert made is not None
    array = made(columns)
    assert array is not None
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, online_frame(INPUTS)(columns).to_numpy())


def test_many_rows_are_left_to_a_frame() -> None:
    made = online_array((("a", "Float64"),))
    assert made is not None
    assert made({"a": [0.5] * 33}) is None
    assert np.array_equal(made({"a": [0.5] * 32}), [[0.5]] * 32)  # type: ignore[arg-type]  # it is an array


@pytest.mark.parametrize("dtype", ["String", "Decimal(9, 2)"])
def test_text_and_decimals_are_no_array(dtype: str) -> None:
    assert online_array((("a", "Float64"), ("b", dtype))) is None


@pytest.mark.parametrize("wrong", [("Float64", "1"), ("Int64", 0.5), ("UInt8", -1), ("Bool", 2)])
def test_a_value_of_another_type_makes_no_array(wrong: tuple[str, object]) -> None:
    dtype, value = wrong
    made = online_array((("x", dtype),))
    assert made is not None
    with pytest.raises(InputError, match="An input of the model is not of its type"):
        made({"x": [value]})
    with pytest.raises(InputError, match="The input 'x' of the model is missing"):
        made({"y": [value]})
