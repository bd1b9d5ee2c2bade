"""How the demo speaks: a heading per step, sentences, tables, and a clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.rule import Rule

from featurestore.cli.output import console, error_console, print_text

STEPS = 9


@contextmanager
def step(number: int, title: str) -> Iterator[None]:
    """One of the steps: its heading, then what is printed inside, then how long it took."""
    out = console()
    out.print()
    out.print(Rule(f"[bold]{number} of {STEPS}  {title}[/]", align="left", style="cyan"))
    began = time.perf_counter()
    yield
    out.print(f"{time.perf_counter() - began:.1f} s", style="dim")


def say(text: str) -> None:
    """A paragraph; `[bold]` and the like are markup."""
    print_text(text, markup=True)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner beside `what` while the block runs, on a terminal only."""
    with error_console().status(what):
        yield


def show_command(why: str, command: str) -> None:
    """A command, to be copied as it is, below what it is good for."""
    out = console()
    out.print(f"# {why}", style="dim", markup=False)
    out.print(command, style="green", markup=False)
