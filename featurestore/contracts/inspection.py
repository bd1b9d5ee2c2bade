"""Whether a pandera model can stand as a contract, and which columns it looks at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from featurestore.contracts.digest import contract_digest
from featurestore.contracts.model import ContractModel, as_contract, check_label, contract_schema
from featurestore.errors import InputError

if TYPE_CHECKING:
    from pandera.api.checks import Check
    from pandera.api.polars.components import Column
    from pandera.api.polars.container import DataFrameSchema


@dataclass(frozen=True, slots=True)
class ContractColumn:
    """A column that a contract looks at: `name` is a regular expression when `pattern`."""

    name: str
    required: bool
    pattern: bool = False


def contract_columns(model: ContractModel) -> tuple[ContractColumn, ...]:
    """The columns that the contract declares, in its order: what a chunk has to carry along for it."""
    columns = contract_schema(model).columns.items()
    return tuple(ContractColumn(name, bool(column.required), bool(column.regex)) for name, column in columns)


def inspect_contract(model: ContractModel) -> None:
    """Raise InputError, with all faults at once, when the model could not be a gate.

    A contract declares columns, checks them, and changes nothing: no coercion, defaults, parsers, filters or dropped
    rows. It must be able to refuse (no check that only warns) and may not rely on what pandera ignores on polars
    (`groupby`, the order of columns).
    """
    schema = contract_schema(as_contract(model))
    faults = [*_schema_faults(schema), *(f for name, c in schema.columns.items() for f in _column_faults(name, c))]
    try:
        contract_digest(model)
    except InputError as error:
        faults.append(str(error))
    if faults:
        raise InputError(f"Contract {model.__qualname__}: {' '.join(faults)}")


def _schema_faults(schema: DataFrameSchema) -> Iterator[str]:
    if not schema.columns:
        yield "it declares no columns, so it would let everything pass; declare the columns that it is about."
    if schema.coerce:
        yield "coerce=True checks other data than is published; leave it out and declare the type that arrives."
    if schema.strict == "filter":
        yield "strict='filter' removes columns; a contract changes nothing, use strict=True to refuse them."
    if schema.add_missing_columns:
        yield "add_missing_columns=True adds columns; a contract changes nothing, compute a feature instead."
    if schema.drop_invalid_rows:
        yield 'drop_invalid_rows would drop rows without a trace; declare on_refusal="drop" on the view instead.'
    if schema.ordered:
        yield "ordered=True: the columns of a chunk have no order; leave it out."
    if undeclared := [name for name in schema.unique or () if name not in schema.columns]:
        yield f"unique names {', '.join(map(repr, undeclared))}, which it does not declare; declare them as columns."
    yield from _check_faults("", schema.checks)


def _column_faults(name: str, column: Column) -> Iterator[str]:
    if column.coerce:
        yield f"column '{name}': coerce=True checks other data than is published; declare the type that arrives."
    if column.default is not None:
        yield f"column '{name}': a default replaces nulls; a contract changes nothing, compute a feature instead."
    if column.drop_invalid_rows:
        yield f"column '{name}': drop_invalid_rows drops rows without a trace; declare on_refusal=\"drop\" instead."
    yield from _check_faults(f"column '{name}': ", column.checks)


def _check_faults(where: str, checks: list[Check]) -> Iterator[str]:
    for check in checks:
        if check.groupby is not None:
            yield (
                f"{where}check {check_label(check)} has a groupby, which pandera ignores on polars; "
                "write the grouping into a dataframe_check."
            )
        if check.raise_warning:
            yield f"{where}check {check_label(check)} only warns (raise_warning); a gate refuses or lets pass."
