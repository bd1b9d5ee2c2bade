"""The runner of the documentation's blocks notices what is wrong in a page."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.repository.pages import PageRun, blocks, commands


def _run(tmp_path: Path, text: str) -> PageRun:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    state = PageRun(tmp_path)
    for block in blocks(page):
        state.run(block)
    return state


def test_python_blocks_share_one_namespace(tmp_path: Path) -> None:
    state = _run(tmp_path, "```python\na = 1\n```\ntext\n```python\nb = a + 1\n```\n")
    assert state.namespace["b"] == 2


def test_a_block_that_opens_with_a_path_becomes_that_file(tmp_path: Path) -> None:
    _run(tmp_path, "```python\n# defs/a.py\nA = 1\n```\n```toml\n# b.toml\nc = 2\n```\n")
    assert (tmp_path / "defs" / "a.py").read_text(encoding="utf-8") == "# defs/a.py\nA = 1\n"
    assert (tmp_path / "b.toml").read_text(encoding="utf-8") == "# b.toml\nc = 2\n"


def test_a_failing_python_block_points_into_the_page(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        _run(tmp_path, "# Title\n\n```python\n1 / 0\n```\n")
    assert caught.traceback[-1].lineno == 3  # counted from zero: the fourth line


def test_a_toml_block_that_does_not_parse_fails(tmp_path: Path) -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        _run(tmp_path, "```toml\na = \n```\n")


@pytest.mark.parametrize("language", ["", "sql", "sh"])
def test_a_block_that_nothing_checks_is_refused(tmp_path: Path, language: str) -> None:
    with pytest.raises(AssertionError, match="nothing checks"):
        _run(tmp_path, f"```{language}\nSELECT 1\n```\n")


@pytest.mark.parametrize("text", ["- item\n  ```python\n  1 / 0\n  ```\n", "~~~python\n1 / 0\n~~~\n", "```python\n1\n"])
def test_a_fence_that_would_be_overlooked_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="fence"):
        _run(tmp_path, text)


def test_a_recipe_that_does_not_exist_fails(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError, match="make"):
        _run(tmp_path, "```bash\nmake coffee\n```\n")


def test_an_unknown_command_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="does not know how to run 'rm -rf data'"):
        _run(tmp_path, "```console\n$ rm -rf data\n```\n")


def test_console_commands_come_with_what_is_shown_below_them() -> None:
    text = "$ featurestore plan \\\n    --json\n{}\n$ echo $?\n0\n"
    assert [(command.line.split(), command.shown) for command in commands(text)] == [
        (["featurestore", "plan", "--json"], "{}\n"),
        (["echo", "$?"], "0\n"),
    ]


def test_output_that_differs_from_the_page_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the page shows"):
        _run(tmp_path, "```console\n$ echo $?\n3\n```\n")


def test_a_server_goes_on_between_blocks_and_ends_with_the_page(tmp_path: Path) -> None:
    (tmp_path / "featurestore.toml").write_text('project = "shop"\n')
    text = """\
```console
$ featurestore serve &
Serving at http://127.0.0.1:6566 (end with Ctrl-C).
```
```python
import httpx
assert httpx.get("http://127.0.0.1:6566/healthz", timeout=30).json() == {"status": "ok"}
```
"""
    state = _run(tmp_path, text)
    assert state.server is not None
    assert state.server.poll() is None
    state.close()
    assert state.server.poll() is not None
