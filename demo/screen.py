"""How the demo speaks: a heading per step, sentences, tables, and a clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.rule import Rule

from featurestore.cli.output import console

STEPS = 7


@contextmanager
def step(number: int, title: str) -> Iterator[None]:
    """One of the seven steps: its heading, then what is printed inside, then how long it took."""
    out = console()
    out.print()
    out.print(Rule(f"[bold]{number} of {STEPS}  {title}[/]", align="left", style="cyan"))
    began = time.perf_counter()
    yield
    out.print(f"{time.perf_counter() - began:.1f} s", style="dim")


def say(text: str) -> None:
    """A paragraph; `[bold]` and the like are markup."""
    console().print(text)


def show_code(lines: str) -> None:
    """Commands, to be copied as they are."""
    console().print(lines, style="green", markup=False)
