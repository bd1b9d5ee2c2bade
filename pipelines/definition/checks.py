"""What numbers in declarations must be, each in one sentence."""

from __future__ import annotations

from featurestore.definitions.faults import Faults
from pipelines.definition.metrics import METRICS


def whole(faults: Faults, value: object, what: str, *, least: int) -> None:
    """A whole number from `least` on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        faults.add(f"{what} must be a whole number from {least} on, got {value!r}.")


def positive(faults: Faults, value: object, what: str) -> None:
    """A number above zero."""
    if not is_number(value) or value <= 0:  # type: ignore[operator]  # is_number has checked
        faults.add(f"{what} must be a positive number, got {value!r}.")


def fraction(faults: Faults, value: object, what: str) -> None:
    """A number from 0 to 1."""
    if not is_number(value) or not 0 <= value <= 1:  # type: ignore[operator]  # is_number has checked
        faults.add(f"{what} must be a number from 0 to 1, got {value!r}.")


def metric(faults: Faults, name: object) -> None:
    """The name of a known metric."""
    if name not in METRICS:
        faults.add(f"there is no metric {name!r}. Metrics: {', '.join(METRICS)}.")


def is_number(value: object) -> bool:
    """Whether the value is an int or a float, and neither a bool nor NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
