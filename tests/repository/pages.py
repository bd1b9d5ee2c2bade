"""Runs the fenced blocks of a Markdown page, in order, in one folder and one Python namespace.

    python    executed; a block that opens with `# some/path.py` becomes that file instead
    toml      must parse; one that opens with `# some/path.toml` becomes that file
    json      must parse
    console   `$ command` lines are run, what stands below a command is its output (`...` matches anything);
              `$ featurestore serve &` goes on until `$ kill %1`, at a free port in the place of 6566
    bash      `make` recipes: looked up, not run, for a test cannot run the tests
    mermaid, text    shown only

Any other language is refused, so that no block goes unchecked by accident. A command must succeed unless the next
one is `$ echo $?`, which shows its exit code.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.repository.tree import ROOT

_FENCE = re.compile(r"^```(?P<language>\S*)[^\n]*\n(?P<text>.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
_FILE_TITLE = re.compile(r"# ([\w./-]+\.(?:py|toml))\n")
_SERVED = "127.0.0.1:6566"  # where pages say that they serve
_MATCHES = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `line` is the number of its first inner line in the page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a console block and what the page shows below it."""

    line: str
    shown: str


def blocks(page: Path) -> tuple[Block, ...]:
    """The fenced blocks of a page, in order; raises ValueError for a fence that does not begin its line."""
    text = page.read_text(encoding="utf-8")
    found = list(_FENCE.finditer(text))
    outside = _FENCE.sub("", text)
    if "```" in outside or "~~~" in outside:
        raise ValueError(f"{page.name} has a fence that is indented, unclosed or made of ~.")
    return tuple(
        Block(page, text[: match.start("text")].count("\n") + 1, match["language"], match["text"]) for match in found
    )


def commands(text: str) -> Iterator[Command]:
    """The commands of a console block; a backslash at the end of a line joins the next one."""
    joined = text.replace("\\\n", " ")
    for part in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        yield Command(line, output)


@dataclass(slots=True)
class PageRun:
    """The state that the blocks of one page share; `folder` is where its commands run."""

    folder: Path
    namespace: dict[str, object] = field(default_factory=lambda: {"__name__": "__page__"})
    exit_code: int = 0
    server: subprocess.Popen[str] | None = None
    port: int | None = None

    def close(self) -> None:
        """End what was started."""
        if self.server is not None:
            self.server.terminate()
            self.server.communicate(timeout=30)

    def run(self, block: Block) -> None:
        """Raise AssertionError, or what the block's code raises, when the block does not do what the page says."""
        match block.language:
            case "python" | "toml" if title := _FILE_TITLE.match(block.text):
                self._write(title[1], block)
            case "python":
                self._execute(block)
            case "toml":
                tomllib.loads(block.text)
            case "json":
                json.loads(block.text)
            case "console":
                self._converse(block)
            case "bash":
                self._look_up_recipes(block)
            case "mermaid" | "text":
                pass
            case unknown:
                raise AssertionError(f"{block.place}: nothing checks a block of language '{unknown}'.")

    def _write(self, name: str, block: Block) -> None:
        if block.language == "toml":
            tomllib.loads(block.text)
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text, encoding="utf-8")

    def _execute(self, block: Block) -> None:
        # Empty lines in front make a traceback point into the page.
        text = block.text.replace(_SERVED, self._place) if self.server else block.text
        code = compile("\n" * (block.line - 1) + text, str(block.page), "exec")
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            exec(code, self.namespace)
        finally:
            os.chdir(before)

    def _converse(self, block: Block) -> None:
        conversation = tuple(commands(block.text))
        assert conversation, f"{block.place}: a console block shows commands, each behind '$ '."
        following = (*(command.line for command in conversation[1:]), "")
        for command, after in zip(conversation, following, strict=True):
            output = self._answer(command.line, block)
            if after != "echo $?":
                assert self.exit_code == 0, f"{block.place}: '{command.line}' ended with {self.exit_code}:\n{output}"
            if command.shown.strip():
                agrees = doctest.OutputChecker().check_output(command.shown, output, _MATCHES)
                assert agrees, (
                    f"{block.place}: '{command.line}' printed:\n{output}\nand the page shows:\n{command.shown}"
                )

    def _answer(self, line: str, block: Block) -> str:
        match shlex.split(line):
            case ["cd", folder]:
                self.folder = (self.folder / folder).resolve(strict=True)
                return ""
            case ["echo", "$?"]:
                code, self.exit_code = self.exit_code, 0
                return f"{code}\n"
            case ["featurestore", "serve", *arguments, "&"]:
                return self._serve(arguments)
            case ["kill", "%1"]:
                assert self.server is not None, f"{block.place}: nothing was started that could be ended."
                self.server.terminate()
                output = self.server.communicate(timeout=30)[0]
                self.exit_code = self.server.returncode
                return output
            case ["featurestore", *arguments]:
                command = Path(sys.executable).with_name("featurestore")
                run = subprocess.run(
                    [command, *arguments],
                    cwd=self.folder,
                    env=_environment(),
                    capture_output=True,
                    text=True,
                    check=False,
                )
                self.exit_code = run.returncode
                return run.stdout + run.stderr
            case _:
                raise AssertionError(f"{block.place}: the test of the pages does not know how to run '{line}'.")

    @property
    def _place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _serve(self, arguments: list[str]) -> str:
        """Start a server; what it says when it can be asked."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [str(Path(sys.executable).with_name("featurestore")), "serve", "--port", str(self.port), *arguments]
        self.server = subprocess.Popen(
            command, cwd=self.folder, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.server.stdout is not None
        said = self.server.stdout.readline()
        self.exit_code = self.server.poll() or 0
        return said.replace(self._place, _SERVED)

    def _look_up_recipes(self, block: Block) -> None:
        for line in block.text.splitlines():
            recipe = shlex.split(line, comments=True)
            assert recipe[:1] == ["make"], f"{block.place}: a bash block holds make recipes, found '{line}'."
            subprocess.run([*recipe, "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FEATURESTORE_")}
    return kept | {"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
