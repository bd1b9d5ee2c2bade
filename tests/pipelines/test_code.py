"""The digest of a function covers the code of the project that it reaches, and nothing else."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.code import code_digest, code_version, lock_digest

MODULE = """
import json
from collections.abc import Sequence
from sklearn.linear_model import LogisticRegression

STRENGTH = {strength}


class Scaled(LogisticRegression):
    def fit(self, X, y):
        return super().fit(X * {scale}, y)


def helper():
    return Scaled(C=STRENGTH)


def unrelated():
    return {unrelated}


def make(depth={depth}):
    return [helper() for _ in range({count})]
"""
VALUES = {"strength": 1, "scale": 2, "unrelated": 3, "depth": 4, "count": 5}


def made(folder: Path, **changed: int) -> Callable[..., object]:
    """`make` of a module that is written anew."""
    file = folder / "models.py"
    file.write_text(MODULE.format(**(VALUES | changed)), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("models", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("linecache.cache", {})
        patch.setitem(__import__("sys").modules, "models", module)
        spec.loader.exec_module(module)
        function: Callable[..., object] = module.make
        function.__dict__["digest"] = code_digest(function)
    return function


def digest(folder: Path, **changed: int) -> str:
    return str(made(folder, **changed).__dict__["digest"])


def test_equal_code_has_equal_digests(tmp_path: Path) -> None:
    assert digest(tmp_path) == digest(tmp_path)


@pytest.mark.parametrize("part", ["strength", "scale", "depth", "count"])
def test_what_a_function_reaches_changes_its_digest(tmp_path: Path, part: str) -> None:
    assert digest(tmp_path, **{part: 99}) != digest(tmp_path)


def test_what_it_does_not_reach_does_not(tmp_path: Path) -> None:
    assert digest(tmp_path, unrelated=99) == digest(tmp_path)


def test_arguments_that_are_bound_change_the_digest(tmp_path: Path) -> None:
    function = made(tmp_path)
    one, other = (code_digest(functools.partial(function, depth=depth)) for depth in (1, 2))
    assert one != other


def test_a_folder_outside_git_has_no_commit(tmp_path: Path) -> None:
    found = code_version(tmp_path)
    assert (found.commit, found.dirty) == (None, False)
    assert found.lock == lock_digest()
    assert len(found.lock) == 64
