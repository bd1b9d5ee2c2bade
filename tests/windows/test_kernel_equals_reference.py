"""The kernel and the nested loops agree to the last bit, whatever the events, windows and points."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.arrow import arrow_type
from featurestore.definitions.functions import FUNCTIONS, result_type
from featurestore.dtypes import DType, Float64, List
from featurestore.windows import kernel
from featurestore.windows.spec import WindowOverflowError, WindowSpec
from tests.windows.scenarios import VALUES, Scenario, bits, functions_over, scenarios, specs

types = pytest.mark.parametrize("dtype", list(VALUES), ids=str)


def expected_type(scenario: Scenario) -> DType:
    """The logical type of the values."""
    spec = scenario.spec
    return result_type(
        spec.function, None if spec.value is None else scenario.dtype, {"series": 1} if spec.series else {}
    )


def answer(scenario: Scenario, threads: int = 1) -> Any:
    """The bits of the kernel's values, or that a sum overflows."""
    try:
        return bits(scenario.kernel(threads).values[0].to_pylist())
    except WindowOverflowError:
        return "overflow"


def expected(scenario: Scenario) -> Any:
    """The same from the nested loops: a sum overflows when it does not fit the result's type."""
    values = scenario.reference()
    try:
        return bits(pa.array(values, arrow_type(expected_type(scenario))).to_pylist())
    except (OverflowError, pa.ArrowInvalid):
        assert scenario.spec.function == "sum"
        return "overflow"


@types
@given(data=st.data())
def test_all_functions_computed_together_equal_the_reference_to_the_bit(dtype: DType, data: st.DataObject) -> None:
    scenario = data.draw(scenarios(dtype))
    asked = [replace(scenario, spec=data.draw(specs(name))) for name in functions_over(dtype)]
    answers = [(each, expected(each)) for each in asked]
    assert all(answer(each) == "overflow" for each, values in answers if values == "overflow")
    answers = [(each, values) for each, values in answers if values != "overflow"]
    found = kernel.compute([each.spec for each, _ in answers], scenario.window_events(), scenario.window_points())
    for (each, values), array in zip(answers, found.values, strict=True):
        assert bits(array.to_pylist()) == values, each.spec


@given(data=st.data())
def test_seen_says_whether_a_known_event_lies_before_the_point(data: st.DataObject) -> None:
    scenario = replace(data.draw(scenarios(Float64)), spec=WindowSpec("count"))
    assert scenario.kernel().seen.tolist() == scenario.seen()


@types
@given(data=st.data())
def test_values_do_not_depend_on_the_order_of_events_at_one_instant(dtype: DType, data: st.DataObject) -> None:
    scenario = data.draw(scenarios(dtype))
    size = len(scenario.events)
    shuffled = scenario.shuffled(data.draw(st.lists(st.integers(0, 99), min_size=size, max_size=size)))
    assert answer(shuffled) == answer(scenario)


@types
@given(data=st.data(), further_back=st.integers(0, 5))
def test_values_do_not_depend_on_events_before_the_window(dtype: DType, data: st.DataObject, further_back: int) -> None:
    scenario = data.draw(scenarios(dtype))
    spec = replace(scenario.spec, window_us=scenario.spec.window_us or 9)
    scenario = replace(scenario, spec=spec)
    reach = spec.offset_us + (spec.window_us or 0) * (spec.series or 1)
    begins: dict[int, int] = {}
    for group, v in scenario.points:
        begins[group] = min(begins.get(group, v), v) - further_back
    suffix = tuple(event for event in scenario.events if event.time >= begins.get(event.group, 0) - reach)
    assert answer(replace(scenario, events=suffix)) == answer(scenario)


@given(data=st.data())
def test_points_taken_in_blocks_and_by_threads_get_the_same_values(data: st.DataObject) -> None:
    scenario = data.draw(scenarios(data.draw(st.sampled_from(list(VALUES)))))
    counted = replace(scenario, spec=WindowSpec("count"))
    values, seen = answer(scenario), counted.kernel().seen.tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_EDGE_BYTES", 100)
        assert (answer(scenario), counted.kernel().seen.tolist()) == (values, seen)
        assert (answer(scenario, threads=2), counted.kernel(threads=2).seen.tolist()) == (values, seen)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [pytest.param(name, dtype, id=f"{name}-{dtype}") for dtype in VALUES for name in functions_over(dtype)],
)
def test_values_have_the_declared_type_even_without_events_or_points(name: str, dtype: DType) -> None:
    function = FUNCTIONS[name]
    spec = WindowSpec(name, 0, window_us=5, n=1, p=0.5)
    for points in ((), ((0, 1), (1, 5))):
        values = Scenario(dtype, (), points, spec).kernel().values[0]
        assert values.type == arrow_type(result_type(name, dtype))
        assert values.to_pylist() == [function.empty] * len(points)
        if function.result != "list":
            series = Scenario(dtype, (), points, replace(spec, series=2)).kernel().values[0]
            assert series.type == arrow_type(List(result_type(name, dtype)))
