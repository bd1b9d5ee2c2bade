"""A module fits in the head, and a function on a screen."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.repository.tree import committed_python, shown

MODULE_LINES = 400
FUNCTION_LINES = 50


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{shown(path)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


def test_no_module_has_more_than_400_lines() -> None:
    sizes = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in committed_python()}
    assert {name: lines for name, lines in sizes.items() if lines > MODULE_LINES} == {}


def test_no_function_has_more_than_50_lines() -> None:
    sizes = dict(function for path in committed_python() for function in _functions(path))
    assert {name: lines for name, lines in sizes.items() if lines > FUNCTION_LINES} == {}
