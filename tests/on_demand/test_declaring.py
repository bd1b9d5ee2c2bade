"""What is checked before a request-time feature is stored: its text, its types, its function, one row at a time."""

from __future__ import annotations

import hashlib
import math
import types
from typing import Any

import polars as pl
import pytest
from polars.plugins import register_plugin_function

from featurestore.dtypes import (
    Bool,
    Bytes,
    Date,
    Decimal,
    DType,
    Float64,
    Int64,
    List,
    String,
    Timestamp,
    UInt64,
    Vector,
)
from featurestore.errors import InputError, UnknownNameError
from featurestore.on_demand import (
    check_row_wise,
    expression_text,
    function_digest,
    function_reference,
    output_types,
)
from featurestore.on_demand.expressions import parse_expression
from featurestore.plan.on_demand import Expressions, Function, OnDemandStep
from tests.on_demand import functions

INPUTS: dict[str, DType] = {
    "x": Float64, "n": Int64, "s": String, "t": Timestamp, "b": Bool, "l": List(Float64), "v": Vector(Float64, 3),
    "d": Date, "m": Decimal(10, 2), "u": UInt64, "raw": Bytes,
}  # fmt: skip
X, N, S = pl.col("x"), pl.col("n"), pl.col("s")


def step_of(expression: pl.Expr) -> OnDemandStep:
    dtype = output_types({"f": expression}, INPUTS)["f"]
    inputs = tuple((name, name, dtype) for name, dtype in INPUTS.items())
    return OnDemandStep("trip", inputs, (("f", "f", dtype),), Expressions((("f", expression_text(expression)),)))


class TestText:
    @pytest.mark.parametrize(
        "expression",
        [
            X * 2 + N,
            pl.when(pl.col("b")).then(X).otherwise(None),
            S.is_in(["a", "b"]),
            pl.lit(b"\x80\x05\x95"),
            N.is_between(1, 2),
        ],
    )
    def test_an_expression_comes_back_from_its_text(self, expression: pl.Expr) -> None:
        assert parse_expression(expression_text(expression)).meta.eq(expression)

    @pytest.mark.filterwarnings("ignore")  # polars advises against some of these
    @pytest.mark.parametrize(
        "make",
        [
            lambda: X.map_elements(lambda x: x + 1, return_dtype=pl.Float64),
            lambda: X.map_batches(lambda s: s),
            lambda: 1 + pl.struct("x", "n").map_elements(str, return_dtype=pl.String).str.len_chars(),
            lambda: pl.fold(pl.lit(0.0), lambda a, b: a + b, [X, N]),
            lambda: X.rolling_map(sum, 3),
            lambda: pl.col("l").list.eval(pl.element().map_elements(lambda x: x, return_dtype=pl.Float64)),
            lambda: X.name.map(str.upper),
            lambda: register_plugin_function(plugin_path=__file__, function_name="f", args=[X]),
        ],
        ids=["map_elements", "map_batches", "nested", "fold", "rolling_map", "in a list", "name", "plugin"],
    )  # fmt: skip
    def test_code_inside_is_refused(self, make: Any) -> None:
        with pytest.raises(InputError, match="cannot be stored safely"):
            expression_text(make())

    def test_code_in_a_stored_text_is_never_run(self) -> None:
        text = X.map_batches(lambda s: s).meta.serialize(format="json")
        with pytest.raises(InputError, match="cannot be stored safely"):
            parse_expression(text)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_literal_that_json_cannot_hold_is_refused_with_the_remedy(self, value: float) -> None:
        with pytest.raises(InputError, match=r"pl.lit\('NaN'\).cast\(pl.Float64\)"):
            expression_text(X * value)
        remedy = X + pl.lit("NaN").cast(pl.Float64)
        assert parse_expression(expression_text(remedy)).meta.eq(remedy)


class TestTypes:
    def test_types_are_found_without_rows(self) -> None:
        expressions = {
            "rush": N.is_between(16, 19), "sum": X + N, "day": pl.col("t").dt.date(), "vector": pl.col("v"),
            "both": pl.concat_list(X, N), "money": pl.col("m"), "one": pl.lit(1, pl.Int64),
        }  # fmt: skip
        assert output_types(expressions, INPUTS) == {
            "rush": Bool, "sum": Float64, "day": Date, "vector": Vector(Float64, 3),
            "both": List(Float64), "money": Decimal(10, 2), "one": Int64,
        }  # fmt: skip

    def test_a_column_that_is_no_input_is_named_with_close_ones_first(self) -> None:
        with pytest.raises(UnknownNameError, match="no input 'temp' in the expression of feature 'cold'") as refused:
            output_types({"cold": pl.col("temp") < 32}, {"a": Int64, "temps": Float64})
        assert refused.value.available[0] == "temps"

    def test_an_expression_that_cannot_be_is_named(self) -> None:
        with pytest.raises(InputError, match="The expression of feature 'odd' fails"):
            output_types({"odd": S + pl.col("t")}, INPUTS)

    def test_a_type_that_is_no_feature_type_is_named(self) -> None:
        with pytest.raises(InputError, match=r"Feature 'wait' is a polars Duration.*cast it"):
            output_types({"wait": pl.col("t") - pl.col("t")}, INPUTS)


class TestFunctions:
    def test_a_function_is_known_by_module_name_and_source(self) -> None:
        module, name, digest = function_reference(functions.double)
        assert (module, name) == ("tests.on_demand.functions", "double")
        source = 'def double(frame: pl.DataFrame) -> pl.DataFrame:\n    """Twice x."""\n'
        source += '    return frame.select(twice=pl.col("x") * 2, extra=pl.lit(1))\n'
        assert digest == hashlib.sha256(source.encode()).hexdigest() == function_digest(functions.double)

    @pytest.mark.parametrize(
        ("each", "message"),
        [
            (functions.anonymous, "is a lambda, which has no name"),
            (functions.make(), "is defined inside another function or a class; move it to the top of its module"),
            (functions.Holder.inside, "is defined inside another function or a class"),
            (len, "is no plain function; give one that a module defines with def"),
            (functions.Holder(), "is no plain function"),
            (None, "None is no plain function"),
        ],
    )
    def test_what_another_process_cannot_find_is_refused(self, each: object, message: str) -> None:
        with pytest.raises(InputError, match=message):
            function_reference(each)

    def test_a_function_of_the_main_script_is_refused(self) -> None:
        script = types.FunctionType(functions.double.__code__, {"__name__": "__main__"}, "double")
        script.__module__ = "__main__"
        with pytest.raises(InputError, match="in the main script, which a server cannot import"):
            function_reference(script)

    def test_a_function_without_source_is_refused(self) -> None:
        names: dict[str, Any] = {"__name__": "typed_in"}
        exec("def typed(frame):\n    return frame", names)
        with pytest.raises(InputError, match=r"The source text of .* cannot be read; define it in a file"):
            function_reference(names["typed"])


class TestRowWise:
    """A value may depend on its own row alone."""

    @pytest.mark.parametrize(
        "expression",
        [
            X * 2 + N,
            N.is_between(16, 19),
            pl.when(pl.col("b")).then(X).otherwise(None),
            X.exp().round(3),
            X.fill_null(0.0).clip(-1, 1),
            N // 0,
            S.str.len_chars(),
            S.str.to_date(strict=False),
            S.str.to_date(),  # works on texts that are dates
            S.str.to_datetime(time_zone="UTC"),
            S.cast(pl.Int64),
            S.str.json_path_match("$.a"),
            pl.col("t").dt.hour(),
            pl.col("d").dt.weekday(),
            pl.col("l").list.mean(),
            pl.col("v").arr.sum(),
            pl.col("m") * 2,
            pl.col("u") // 2,
            pl.col("raw").bin.size(),
            pl.sum_horizontal("x", "n"),
            pl.lit(1),
        ],
        ids=str,
    )
    def test_an_expression_on_its_own_row_is_accepted(self, expression: pl.Expr) -> None:
        check_row_wise(step_of(expression))

    @pytest.mark.parametrize(
        "expression",
        [
            X - X.mean(),
            X.cum_sum(),
            X.shift(1),
            X.diff(),
            X.rank(),
            X.sum().over("s"),
            X.max() * 0.5 < X,
            X.mean() < X,
            (X - X.mean()) / X.std(),
            X.median() == X,
            X.clip(upper_bound=X.quantile(0.99)),
            X.fill_null(strategy="forward"),
            X.fill_null(X.mean()),
            X.interpolate(),
            X.rolling_mean(3),
            X.ewm_mean(com=1),
            X.sort(),
            X.reverse(),
            X.shuffle(),
            X.shuffle(seed=1),
            X * pl.len(),
            N.is_duplicated(),
            N.is_first_distinct(),
            N.count(),
            S.first(),
            S.rle_id(),
            pl.int_range(pl.len()),
            pl.when(pl.int_range(pl.len()) < 100).then(X),  # shows in another order only
        ],
        ids=str,
    )
    def test_an_expression_that_looks_at_other_rows_is_refused(self, expression: pl.Expr) -> None:
        with pytest.raises(InputError, match=r"Feature 'f' of 'trip' is not row-wise: .* differs from the same row by"):
            check_row_wise(step_of(expression))

    def test_only_the_feature_at_fault_is_named(self) -> None:
        good, bad = step_of(X * 2), step_of(X - X.mean())
        assert isinstance(good.computation, Expressions)
        assert isinstance(bad.computation, Expressions)
        both = OnDemandStep(
            "trip",
            good.inputs,
            (("good", "good", Float64), ("f", "f", Float64)),
            Expressions((("good", good.computation.features[0][1]), *bad.computation.features)),
        )
        with pytest.raises(InputError, match="Feature 'f' of 'trip' is not row-wise"):
            check_row_wise(both)

    @pytest.mark.parametrize("expression", [X.drop_nulls(), X.unique(), X.head(3)], ids=str)
    def test_an_expression_that_changes_the_number_of_rows_is_refused(self, expression: pl.Expr) -> None:
        with pytest.raises(InputError, match="Feature 'f' of 'trip' does not keep the number of rows: "):
            check_row_wise(step_of(expression))

    def test_an_expression_that_always_fails_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"'trip' fails on every generated row, .* for example with strict=False"):
            check_row_wise(step_of((S + "no number").fill_null("x").cast(pl.Int64)))

    def test_functions_are_tried_out_too(self) -> None:
        inputs, outputs = (("x", "x", Float64),), (("twice", "twice", Float64),)
        check_row_wise(OnDemandStep("trip", inputs, outputs, Function(*function_reference(functions.double))))
        for each, message in [
            (functions.centred, "Feature 'twice' of 'trip' is not row-wise"),
            (functions.first_only, "'trip' turned .* rows into 1"),
            (functions.without_nulls, "'trip' turned 1 rows into 0"),
        ]:
            with pytest.raises(InputError, match=message):
                check_row_wise(OnDemandStep("trip", inputs, outputs, Function(*function_reference(each))))
