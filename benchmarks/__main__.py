"""Measure, and write what was found into benchmarks/RESULTS.md.

    python -m benchmarks                                   # all sections
    python -m benchmarks online startup --rounds 9         # some of them
    python -m benchmarks historical --scale 0.01 --dry     # a quick look that leaves RESULTS.md alone

FEAST_PYTHON names an interpreter that has Feast 0.67 (`feast[duckdb]`); without it Feast takes no part.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.inputs import Sizes
from benchmarks.options import FEAST_PYTHON, NO_FEAST, Options
from benchmarks.report import Section, write
from benchmarks.sections import historical, http, loading, online, predict, startup, ticking, training, windows

_SECTIONS: dict[str, Callable[[Options], Section]] = {
    "historical": historical.measure,
    "online": online.measure,
    "http": http.measure,
    "loading": loading.measure,
    "predict": predict.measure,
    "startup": startup.measure,
    "ticking": ticking.measure,
    "training": training.measure,
    "windows": windows.measure,
}


def main() -> None:
    """Run the asked sections; each is written as soon as it is measured."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="section", help=f"{', '.join(_SECTIONS)}; by default all")
    parser.add_argument("--scale", type=float, default=1.0, help="of the sizes; 1 is 20 million rows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, help="keep inputs here and use them again; by default they are removed")
    parser.add_argument("--dry", action="store_true", help="print the sections, leave RESULTS.md alone")
    asked = parser.parse_args()
    unknown = [name for name in asked.sections if name not in _SECTIONS]
    if unknown:
        parser.error(f"there is no section '{unknown[0]}'; choose from {', '.join(_SECTIONS)}")
    with tempfile.TemporaryDirectory(prefix="featurestore-benchmarks-") as temporary:
        workspace = (asked.data or Path(temporary)).resolve() / f"scale-{asked.scale:g}"
        options = Options(
            sizes=Sizes().scaled(asked.scale),
            rounds=asked.rounds,
            threads=asked.threads,
            workspace=workspace,
            feast=os.environ.get(FEAST_PYTHON),
            command=_command(),
            load=os.getloadavg()[0],
        )
        _measure(asked.sections or list(_SECTIONS), options, dry=asked.dry)


def _measure(sections: list[str], options: Options, *, dry: bool) -> None:
    if options.feast is None:
        print(NO_FEAST, file=sys.stderr)
    for name in sections:
        print(f"{name}: preparing", file=sys.stderr, flush=True)
        section = _SECTIONS[name](options)
        print(section.text())
        if not dry:
            write(section)


def _command() -> str:
    arguments = [argument for argument in sys.argv[1:] if argument != "--dry"]
    return " ".join(["python -m benchmarks", *arguments])


if __name__ == "__main__":
    main()
