"""Functions of on-demand views, from the project's own files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from featurestore.on_demand.functions import find_function
from featurestore.plan.on_demand import Function, OnDemandStep
from featurestore.project.loading import importable


def resolve_functions(steps: Iterable[OnDemandStep], root: Path, folder: str) -> None:
    """Find the functions of the steps among the project's files, so that evaluating them later needs no import.

    Raises InputError for a function that is gone, or whose source text is not the one that was applied.
    """
    functions = [step.computation for step in steps if isinstance(step.computation, Function)]
    if functions:
        with importable(root, folder):
            for function in functions:
                find_function(function)
