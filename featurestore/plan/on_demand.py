"""The plan of request-time features: computed on a frame of one row per entity row."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.dtypes import DType


@dataclass(frozen=True, slots=True)
class Expressions:
    """Features given as polars expressions, each in polars' JSON form."""

    features: tuple[tuple[str, str], ...]  # (feature, expression)


@dataclass(frozen=True, slots=True)
class Function:
    """Features given by a named Python function on a polars frame; `digest` is of its source text."""

    module: str
    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class OnDemandStep:
    """`inputs`: (name inside the view, column of the wide frame, type); `outputs`: (feature, result name, type)."""

    view: str
    inputs: tuple[tuple[str, str, DType], ...]
    outputs: tuple[tuple[str, str, DType], ...]
    computation: Expressions | Function
